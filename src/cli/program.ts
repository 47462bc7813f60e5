import { Command, CommanderError, Option } from 'commander';
import { fail, ok, type Result } from '../base/result.ts';
import { rewriteArgv } from './argv.ts';
import { allFlags, type CommandSpec, type FlagSpec, type Input, type ProgramSpec } from './spec.ts';
import { COLUMNS } from './text.ts';

/** What a command line asks for: to run, or to be shown the help page. */
export type Parsed = { readonly help: string } | { readonly input: Input };

/** Reads the arguments of one command. Fails with CLI_USAGE or CLI_UNSUPPORTED_FLAG. */
export function parseCommand(
  path: string,
  summary: string,
  spec: CommandSpec,
  argv: readonly string[],
  program: Pick<ProgramSpec, 'name' | 'attachedValues'>,
): Result<Parsed> {
  const flags = allFlags(spec);
  const { name, attachedValues = false } = program;
  const rewritten = rewriteArgv(argv, { flags, refused: spec.refused ?? {}, attachedValues });
  if (!rewritten.ok) return rewritten;
  let printed = '';
  const command = buildCommand(`${name} ${path}`, summary, spec).configureOutput({
    writeOut: (text) => {
      printed += text;
    },
    writeErr: () => {},
  });
  try {
    command.parse(rewritten.value, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return ok({ help: printed });
    return fail('CLI_USAGE', usageProblem(error, command, flags));
  }
  return ok({ input: inputOf(command, flags) });
}

/** The parser's refusal in our words where its own would not say which flag or word. */
function usageProblem(
  { code, message }: CommanderError,
  command: Command,
  flags: readonly FlagSpec[],
): string {
  if (code === 'commander.missingMandatoryOptionValue') {
    const missing = flags.filter(
      ({ name, required }) => required === true && optionValue(command, name) === undefined,
    );
    return `needs ${missing.map(({ name }) => `--${name}`).join(', ')}`;
  }
  if (code === 'commander.excessArguments') {
    return `"${command.args[0]?.slice(0, 80)}" is too much: this command takes only flags`;
  }
  return message.replace(/^error: /, '');
}

function buildCommand(title: string, summary: string, spec: CommandSpec): Command {
  const command = new Command(title)
    .description(spec.about === undefined ? summary : `${summary}.\n\n${unfold(spec.about)}`)
    .configureHelp({ helpWidth: COLUMNS })
    .helpOption('-h, --help', 'show this page')
    .usage(`[flags]${spec.args === undefined ? '' : ` ${spec.args}`}`)
    .allowExcessArguments(spec.args !== undefined)
    .exitOverride()
    .addHelpText('after', helpTail(spec));
  for (const flag of allFlags(spec)) command.addOption(optionOf(flag));
  return command;
}

/** Ends of lines within a paragraph are those of the source: the page has its own. */
function unfold(text: string): string {
  return text.replace(/(?<!\n)\n(?!\n)/g, ' ');
}

function optionOf(flag: FlagSpec): Option {
  const short = flag.short === undefined ? '' : `-${flag.short}, `;
  const value = flag.value === undefined ? '' : ` <${flag.value}>`;
  const notes = [
    ...(flag.repeat === true ? ['may be repeated'] : []),
    ...(flag.required === true ? ['required'] : []),
    ...(flag.spire === undefined ? [] : [`SPIRE: -${flag.spire}`]),
  ];
  const help = notes.length === 0 ? flag.help : `${flag.help} (${notes.join('; ')})`;
  const option = new Option(`${short}--${flag.name}${value}`, help);
  if (flag.choices !== undefined) option.choices(flag.choices);
  if (flag.required === true) option.makeOptionMandatory();
  if (flag.repeat === true) {
    option.argParser((text: string, before: readonly string[] | undefined) => [
      ...(before ?? []),
      text,
    ]);
  }
  return option;
}

function helpTail(spec: CommandSpec): string {
  const lines = spec.examples.map((example) => `  $ ${example}`);
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.join('\n')}`;
}

function optionValue(command: Command, name: string): unknown {
  return command.getOptionValue(
    name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
  );
}

function inputOf(command: Command, flags: readonly FlagSpec[]): Input {
  const read = (name: string): unknown => {
    if (!flags.some((flag) => flag.name === name)) {
      throw new TypeError(`${command.name()} has no flag ${name}`);
    }
    return optionValue(command, name);
  };
  return {
    args: command.args,
    text: (name) => {
      const value = read(name);
      return typeof value === 'string' ? value : undefined;
    },
    texts: (name) => {
      const value = read(name);
      return Array.isArray(value) ? value.map(String) : [];
    },
    has: (name) => read(name) === true,
  };
}
