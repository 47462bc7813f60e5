import { kubectlCommands, kubectlProgram } from '../kubectl/commands.ts';
import { runProgram } from './program.ts';

const [, , first, ...words] = process.argv;
// What kubectl_complete-signet asks; no command of its own, so that no list shows it.
if (first === '__complete') {
  const { complete } = await import('../kubectl/complete.ts');
  process.stdout.write(await complete(words, kubectlCommands, 'list'));
} else {
  await runProgram(kubectlCommands, kubectlProgram);
}
