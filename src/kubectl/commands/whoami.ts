import { fail } from '../../base/result.ts';
import { ruleExplain } from '../../cli/commands/rule-explain.ts';
import { allFlags, type CommandSpec } from '../../cli/spec.ts';

/** `kubectl signet whoami`: what `signet rule explain` tells, in kubectl's words. */
export const whoami: CommandSpec = {
  args: 'pod/NAMESPACE/NAME',
  about:
    'Says which SPIFFE ID a pod gets, by which rule, and why not by the others. The server tells it, over\n' +
    'its admin socket (SIGNET_SERVER_SOCKET).',
  flags: [
    ...allFlags(ruleExplain).filter(({ name }) => name !== 'output'),
    {
      name: 'output',
      short: 'o',
      value: 'form',
      choices: ['table', 'json'],
      help: 'table, json; table unless told',
    },
    { name: 'namespace', short: 'n', value: 'name', help: 'namespace of a pod that says none' },
  ],
  examples: ['kubectl signet whoami pod/shop/web-7d4f', 'kubectl signet whoami pod/web -n shop'],
  run: (input, io) => {
    const [word = '', ...rest] = input.args;
    const name = word.replace(/^(pods?|po)\//, '');
    if (name === '' || rest.length > 0) {
      return Promise.resolve(fail('CLI_USAGE', 'takes one pod/NAMESPACE/NAME'));
    }
    const full = name.includes('/') ? name : `${input.text('namespace') ?? 'default'}/${name}`;
    return ruleExplain.run({ ...input, args: [`pod/${full}`] }, io);
  },
};
