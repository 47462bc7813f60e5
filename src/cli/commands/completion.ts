import { fail, ok } from '../../base/result.ts';
import { allFlags, type CommandEntry, type CommandSpec } from '../spec.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

interface Words {
  readonly path: string;
  readonly summary: string;
  readonly flags: readonly string[];
}

/** `signet completion`, over the commands of a table. */
export function completion(table: readonly CommandEntry[]): CommandSpec {
  return {
    args: '<bash|zsh|fish>',
    flags: [],
    examples: [
      'source <(signet completion bash)',
      'signet completion fish > ~/.config/fish/completions/signet.fish',
    ],
    run: async (input, io) => {
      const shell = SHELLS.find((name) => name === input.args[0]);
      if (shell === undefined || input.args.length > 1) {
        return fail('CLI_USAGE', `takes one of ${SHELLS.join(', ')}`);
      }
      const words = await Promise.all(table.map(wordsOf));
      io.out(shell === 'fish' ? fishScript(words) : bashScript(words, shell));
      return ok(undefined);
    },
  };
}

async function wordsOf({ path, summary, load }: CommandEntry): Promise<Words> {
  const spec = await load();
  return { path, summary, flags: [...allFlags(spec).map(({ name }) => `--${name}`), '--help'] };
}

/** Next words by the words before, as one `case`; zsh runs it through its bash emulation. */
function bashScript(words: readonly Words[], shell: 'bash' | 'zsh'): string {
  const next = new Map<string, Set<string>>();
  const add = (before: string, word: string): void => {
    next.set(before, (next.get(before) ?? new Set()).add(word));
  };
  for (const { path, flags } of words) {
    const parts = path.split(' ');
    for (const [index, word] of parts.entries()) add(parts.slice(0, index).join(' '), word);
    for (const flag of flags) add(path, flag);
  }
  const cases = [...next].map(
    ([before, choices]) => `    "${before}") choices="${[...choices].join(' ')}" ;;`,
  );
  const head = shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : '';
  return `${head}_signet() {
  local word before="" choices="" current="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) break ;; esac
    before="\${before:+$before }$word"
  done
  case $before in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$choices" -- "$current"))
}
complete -o default -F _signet signet
`;
}

function fishScript(words: readonly Words[]): string {
  const lines = words.flatMap(({ path, summary, flags }) => {
    const parts = path.split(' ');
    const text = summary.replace(/['\\]/g, '');
    const after = (count: number): string =>
      parts
        .slice(0, count)
        .map((word) => `__fish_seen_subcommand_from ${word}`)
        .join('; and ');
    const here = after(parts.length);
    return [
      ...parts.map((word, index) => {
        const when = index === 0 ? '__fish_use_subcommand' : `'${after(index)}'`;
        const what = index === parts.length - 1 ? ` -d '${text}'` : '';
        return `complete -c signet -n ${when} -a ${word}${what}`;
      }),
      ...flags.map((flag) => `complete -c signet -n '${here}' -l ${flag.slice(2)}`),
    ];
  });
  return `${[...new Set(lines)].join('\n')}\n`;
}
