import { type SignetError, toSignetError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { EXIT, exitCodeOf, formatError } from './report.ts';
import { type CliIo, type CommandEntry, GLOBAL_FLAGS, type ProgramSpec } from './spec.ts';
import { COLUMNS, safe } from './text.ts';

/** Most words that name a command, such as `localauthority x509 show`. */
const MAX_WORDS = 3;

/** Widest column of names in a list of commands; longer names push their summary to the right. */
const MAX_NAME = 18;

/** The program for operators of servers and agents. */
const SIGNET: ProgramSpec = {
  name: 'signet',
  about: 'Signet issues SPIFFE identities to machines and to the processes on them.',
  notes: (table) => [
    'Flags of SPIRE are understood in its spelling too (-spiffeID as --spiffe-id).',
    '"signet <command> --help" shows the flags of a command and examples.',
    ...(table.some(({ path }) => path === 'dev') ? ['To begin on this machine: signet dev'] : []),
  ],
  globalFlags: GLOBAL_FLAGS,
  exitCodeOf,
};

/**
 * Runs one command line and answers with the exit code: 0 done, 1 refused or failed, 2 usage, or what
 * the program says. Only the code of the command that is called gets loaded.
 */
export async function runCli(
  argv: readonly string[],
  io: CliIo,
  table: readonly CommandEntry[],
  program: ProgramSpec = SIGNET,
): Promise<number> {
  const { leading, rest } = splitLeading(argv, program);
  const wantsHelp = rest[0] === 'help' || isHelp(rest[0]);
  const words = wantsHelp ? rest.slice(1) : rest;
  if (words[0] === '--version' || words[0] === '-version') {
    return runCli(['version'], io, table, program);
  }
  const preset = wantsHelp ? undefined : table.find(({ path }) => path === program.preset);
  if (preset !== undefined && (words.length === 0 || words[0]?.startsWith('-') === true)) {
    return runEntry(preset, argv, io, program);
  }
  if (words.length === 0) return overview(wantsHelp, io, table, program);
  const entry = findEntry(words, table);
  if (entry === undefined) return listOrRefuse(words, wantsHelp, io, table, program);
  const own = words.slice(entry.path.split(' ').length);
  return runEntry(entry, wantsHelp ? ['--help'] : [...leading, ...own], io, program);
}

async function runEntry(
  entry: CommandEntry,
  argv: readonly string[],
  io: CliIo,
  program: ProgramSpec,
): Promise<number> {
  const refuse = (error: SignetError): number => {
    io.err(formatError(error, entry.path, program.name));
    return program.exitCodeOf(error);
  };
  try {
    const [spec, { parseCommand }] = await Promise.all([entry.load(), import('./program.ts')]);
    const parsed = parseCommand(entry.path, entry.summary, spec, argv, program);
    if (!parsed.ok) return refuse(parsed.error);
    if ('help' in parsed.value) {
      io.out(parsed.value.help);
      return EXIT.ok;
    }
    const done = await spec.run(parsed.value.input, io);
    return done.ok ? EXIT.ok : refuse(done.error);
  } catch (thrown) {
    const error = toSignetError(thrown, `${program.name} ${entry.path}`);
    const cause =
      error.cause instanceof Error ? `${error.cause.stack ?? error.cause.message}\n` : '';
    io.err(`${formatError(error, entry.path, program.name)}${cause}`);
    return program.exitCodeOf(error);
  }
}

/** Global flags may stand before the command; they are given to it as if they stood after. */
function splitLeading(
  argv: readonly string[],
  { globalFlags }: ProgramSpec,
): { leading: string[]; rest: string[] } {
  let end = 0;
  while (end < argv.length) {
    const [name] = (argv[end] ?? '').replace(/^--?/, '').split('=', 1);
    const isFlag = (argv[end] ?? '').startsWith('-');
    const known = globalFlags.find((flag) => [flag.name, flag.short].includes(name ?? ''));
    if (!isFlag || known === undefined) break;
    end += argv[end]?.includes('=') === true || known.value === undefined ? 1 : 2;
  }
  return { leading: argv.slice(0, end), rest: argv.slice(end) };
}

function isHelp(word: string | undefined): boolean {
  return word === '--help' || word === '-h' || word === '-help';
}

/** The row whose words the line begins with; the longest wins. */
function findEntry(
  words: readonly string[],
  table: readonly CommandEntry[],
): CommandEntry | undefined {
  for (let count = MAX_WORDS; count > 0; count--) {
    const line = words.slice(0, count).join(' ');
    const found = table.find((entry) => entry.path === line);
    if (found !== undefined) return found;
  }
  return undefined;
}

function overview(
  wanted: boolean,
  io: CliIo,
  table: readonly CommandEntry[],
  { name, about, notes }: ProgramSpec,
): number {
  const text =
    `${about}\n\nUsage: ${name} <command> [flags]\n\n` +
    `${listing(table)}\n${notes(table)
      .map((line) => `${line}\n`)
      .join('')}`;
  (wanted ? io.out : io.err)(text);
  return wanted ? EXIT.ok : EXIT.usage;
}

function listing(entries: readonly CommandEntry[]): string {
  const longest = Math.max(...entries.map(({ path }) => path.length));
  const fits = entries.every(({ summary }) => longest + summary.length + 4 <= COLUMNS);
  // What few long names would need is room that all summaries would lack.
  const width = fits ? longest : Math.min(MAX_NAME, longest);
  return entries.map(({ path, summary }) => `  ${path.padEnd(width)}  ${summary}\n`).join('');
}

/** The first words of commands list them; anything else is refused, with what comes nearest. */
function listOrRefuse(
  words: readonly string[],
  wantsHelp: boolean,
  io: CliIo,
  table: readonly CommandEntry[],
  { name }: ProgramSpec,
): number {
  const { prefix, below } = longestPrefix(words, table);
  const count = prefix === '' ? 0 : prefix.split(' ').length;
  if (count > 0 && (words.length === count || isHelp(words[count]))) {
    const asked = wantsHelp || isHelp(words[count]);
    (asked ? io.out : io.err)(`Usage: ${name} ${prefix} <command> [flags]\n\n${listing(below)}`);
    return asked ? EXIT.ok : EXIT.usage;
  }
  const given = words.slice(0, count + 1).join(' ');
  const near = nearest(
    given,
    below.map(({ path }) => path),
  );
  const hint = near === undefined ? '' : `; did you mean "${name} ${near}"?`;
  io.err(
    `${name}: there is no command "${safe(given)}"${hint}\n` +
      `  code: CLI_USAGE\n  next: Run "${name} --help" for the list of commands.\n`,
  );
  return EXIT.usage;
}

/** As many of the words as commands begin with, and those commands; none is all of them. */
function longestPrefix(
  words: readonly string[],
  table: readonly CommandEntry[],
): { readonly prefix: string; readonly below: readonly CommandEntry[] } {
  for (let count = Math.min(MAX_WORDS - 1, words.length); count > 0; count--) {
    const prefix = words.slice(0, count).join(' ');
    const below = table.filter(({ path }) => path.startsWith(`${prefix} `));
    if (below.length > 0) return { prefix, below };
  }
  return { prefix: '', below: table };
}
