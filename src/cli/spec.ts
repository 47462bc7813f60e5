import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Result } from '../base/result.ts';

/** One flag of a command, in our spelling and in SPIRE's. */
export interface FlagSpec {
  /** Kebab case without dashes, such as `spiffe-id`. */
  readonly name: string;
  /** SPIRE's spelling where it differs, such as `spiffeID`. */
  readonly spire?: string;
  /** One letter, such as `o`. */
  readonly short?: string;
  /** What help calls the value, such as `id`; a flag without it is a switch. */
  readonly value?: string;
  /** Only these values. */
  readonly choices?: readonly string[];
  /** May be given more than once. */
  readonly repeat?: boolean;
  /** Must be given. */
  readonly required?: boolean;
  readonly help: string;
}

/** The process around a command: everything it touches besides the network, so that tests can hand in their own. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborts when the user interrupts the command. */
  readonly signal: AbortSignal;
  /** Whether what is printed may bear colours; not unless told. */
  readonly colours?: boolean;
  out(text: string): void;
  err(text: string): void;
  /** All of standard input, or a refusal beyond `maxBytes`. */
  readStdin(maxBytes: number): Promise<Result<Uint8Array>>;
  /** What somebody at the terminal answers, without the line end; undefined where nobody sits there. */
  ask(question: string): Promise<string | undefined>;
}

/** What was given on the command line, by our names of the flags. */
export interface Input {
  /** The value of a flag, where given. */
  text(flag: string): string | undefined;
  /** The values of a flag that may be repeated. */
  texts(flag: string): readonly string[];
  /** Whether a switch was given. */
  has(flag: string): boolean;
  readonly args: readonly string[];
}

/** What a command talks to; decides which socket flag it has, and what SPIRE's `-socketPath` means. */
export type Connects = 'server' | 'agent';

/** A command: what it takes and what it does. */
export interface CommandSpec {
  readonly connects?: Connects;
  /** Words after the flags, such as `[x509|jwt]`. */
  readonly args?: string;
  /** More about what it does, for its help page. */
  readonly about?: string;
  readonly flags: readonly FlagSpec[];
  /** Whether it takes `-o json`; those that print nothing for programs do not. */
  readonly prints?: boolean;
  /** SPIRE's flags that are refused, each with what to do instead. */
  readonly refused?: Readonly<Record<string, string>>;
  /** Whole command lines for the help page; at least one. */
  readonly examples: readonly string[];
  /** Runs it; a refusal is printed by the caller and becomes the exit code. */
  readonly run: (input: Input, io: CliIo) => Promise<Result<void>>;
}

/** A row of the table of commands; its code is loaded only when it is called. */
export interface CommandEntry {
  /** Words that name it, such as `entry create`. */
  readonly path: string;
  /** One line for lists. */
  readonly summary: string;
  readonly load: () => Promise<CommandSpec>;
}

/** What differs between programs that are made of commands. */
export interface ProgramSpec {
  /** As it is called, such as `kubectl signet`. */
  readonly name: string;
  /** One sentence on what it is for. */
  readonly about: string;
  /** Lines below the list of its commands. */
  readonly notes: (table: readonly CommandEntry[]) => readonly string[];
  /** Flags that may also stand before the command. */
  readonly globalFlags: readonly FlagSpec[];
  /** The command that runs where none is named; the list of commands is shown without. */
  readonly preset?: string;
  /** Whether a value may stand right after a short flag, as in `-ojson`. */
  readonly attachedValues?: boolean;
  /** Exit code that a refusal ends it with. */
  readonly exitCodeOf: (error: SignetError) => number;
}

/** Flags of every command that prints something for programs. */
const OUTPUT_FLAG: FlagSpec = {
  name: 'output',
  short: 'o',
  value: 'form',
  choices: ['pretty', 'json'],
  help: 'pretty for people, json (protojson names) for programs',
};

const TIMEOUT_FLAG: FlagSpec = {
  name: 'timeout',
  value: 'duration',
  help: 'how long to wait for an answer; unless told 30s for a server, 5s for an agent',
};

const SOCKET_FLAGS: Readonly<Record<Connects, FlagSpec>> = {
  server: {
    name: 'server-socket',
    spire: 'socketPath',
    value: 'path',
    help: 'admin socket of the server, or tcp://host:port (SIGNET_SERVER_SOCKET)',
  },
  agent: {
    name: 'agent-socket',
    spire: 'socketPath',
    value: 'path',
    help: 'Workload API of the agent, path or URI (SIGNET_AGENT_SOCKET, SPIFFE_ENDPOINT_SOCKET)',
  },
};

/** Who an operator is to a server's TCP port. */
export const ADMIN_SVID_FLAG: FlagSpec = {
  name: 'admin-svid',
  value: 'folder',
  help: 'SVID of an administrator for tcp://, as --write writes it (SIGNET_ADMIN_SVID)',
};

/** Flags that may also stand before the command. */
export const GLOBAL_FLAGS: readonly FlagSpec[] = [
  { ...SOCKET_FLAGS.server, spire: 'serverSocket' },
  { ...SOCKET_FLAGS.agent, spire: 'agentSocket' },
  ADMIN_SVID_FLAG,
  OUTPUT_FLAG,
  TIMEOUT_FLAG,
];

/** All flags of a command: its own and those that come with what it talks to. */
export function allFlags(spec: CommandSpec): readonly FlagSpec[] {
  const common = [
    ...(spec.connects === undefined ? [] : [SOCKET_FLAGS[spec.connects], TIMEOUT_FLAG]),
    ...(spec.connects === 'server' ? [ADMIN_SVID_FLAG] : []),
    ...(spec.prints === true ? [OUTPUT_FLAG] : []),
  ];
  return [...spec.flags, ...common.filter(({ name }) => !spec.flags.some((f) => f.name === name))];
}
