import { allFlags, type CommandEntry, type FlagSpec } from '../cli/spec.ts';
import { safe } from '../cli/text.ts';

/** What the shell does with the candidates (cobra's ShellCompDirective): no file names, or file names. */
const NO_FILES = ':4';
const FILES = ':0';

/** Words that sources begin with. */
const SOURCE_KINDS = ['cm/', 'ctb/', 'secret/', 'pod/', 'server'];

/** Commands that take sources or documents as words. */
const TAKES_SOURCES = ['diff', 'verify', 'svid', 'whoami'];

/**
 * Candidates for the last of some words, as `kubectl_complete-signet` prints them: one a line with its help
 * after a tab, then a directive. Nothing is asked of a cluster.
 */
export async function complete(
  words: readonly string[],
  table: readonly CommandEntry[],
  preset: string,
): Promise<string> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  const named = table.find(({ path }) => before.includes(path));
  const entry = named ?? table.find(({ path }) => path === preset);
  const flags = entry === undefined ? [] : allFlags(await entry.load());
  const wanting = flagOf(before.at(-1) ?? '', flags);
  if (wanting?.value !== undefined) return answer(wanting.choices ?? [], current, wanting.choices);
  if (current.startsWith('-')) {
    return answer(
      flags.map(({ name, help }) => `--${name}\t${help}`),
      current,
      [],
    );
  }
  if (named === undefined) {
    return answer(
      table.map(({ path, summary }) => `${path}\t${summary}`),
      current,
      [],
    );
  }
  const takesSources = TAKES_SOURCES.includes(named.path);
  return answer(takesSources ? SOURCE_KINDS : [], current, takesSources ? undefined : []);
}

function flagOf(word: string, flags: readonly FlagSpec[]): FlagSpec | undefined {
  const name = word.replace(/^--?/, '');
  return word.startsWith('-')
    ? flags.find((flag) => flag.name === name || flag.short === name)
    : undefined;
}

function answer(
  candidates: readonly string[],
  current: string,
  choices: readonly string[] | undefined,
): string {
  const fit = candidates
    .filter((one) => one.startsWith(current))
    .map((one) => {
      const [word = '', help] = one.split('\t');
      return help === undefined ? safe(word) : `${safe(word)}\t${safe(help)}`;
    });
  return [...fit, choices === undefined ? FILES : NO_FILES, ''].join('\n');
}
