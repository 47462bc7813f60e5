import type { GrpcStatusName } from '../base/errors/define.ts';
import { ERRORS, type SignetError } from '../base/errors.ts';
import { safe, safeLines } from './text.ts';

/** How the process ends; revoked tells what restarts a companion that it need not. */
export const EXIT = { ok: 0, failed: 1, usage: 2, revoked: 3 } as const;

/** What to do where the other side gave only a gRPC status. */
const STATUS_ADVICE: Readonly<Partial<Record<GrpcStatusName, string>>> = {
  InvalidArgument: 'Correct the value that the message names; --help shows the form of each flag.',
  NotFound: 'Look for the right ID: "signet entry show" and "signet agent list" list them.',
  AlreadyExists: 'Look at what exists with "show", and change it with "update".',
  PermissionDenied:
    'Use an identity that may do this; on the admin socket: root, or the user of the server.',
  Unauthenticated: 'Use an identity that the other side trusts.',
  ResourceExhausted: 'Wait a moment and try again, or send less at once.',
  FailedPrecondition: 'Put right first what the message names, then try again.',
  Aborted: 'Try again.',
  Unavailable: 'Wait until the other side is ready, then try again.',
  Unimplemented: 'The other side is older, or does not offer this; compare with "signet version".',
  Internal: 'Look at the log of the other side.',
  Unknown: 'Look at the log of the other side.',
  DataLoss: 'Look at the log of the other side.',
};

/** Longest line of a refusal that is printed, in characters: a message may quote what was given. */
const MAX_LINE = 1000;

/** A refusal as it is printed: what failed, its code, what to do next. */
export function formatError(error: SignetError, command?: string, program = 'signet'): string {
  const action =
    error.code === 'CLI_REFUSED' ? STATUS_ADVICE[error.statusName] : ERRORS[error.code].action;
  const help =
    error.code === 'CLI_USAGE' && command !== undefined
      ? `Run "${program} ${command} --help" for the flags and an example.`
      : (action ?? ERRORS[error.code].action);
  const status = error.code === 'CLI_USAGE' ? '' : ` (${error.statusName})`;
  return `${program}: ${clipLines(safeLines(error.message))}\n  code: ${error.code}${status}\n  next: ${safe(help)}\n`;
}

function clipLines(text: string): string {
  return text
    .split('\n')
    .map((line) =>
      line.length <= MAX_LINE
        ? line
        : `${line.slice(0, MAX_LINE)}… (${line.length - MAX_LINE} characters more)`,
    )
    .join('\n');
}

/** Exit code that a refusal ends the process with. */
export function exitCodeOf(error: SignetError): number {
  if (error.code === 'COMPANION_REVOKED') return EXIT.revoked;
  return error.code === 'CLI_USAGE' || error.code === 'CLI_UNSUPPORTED_FLAG'
    ? EXIT.usage
    : EXIT.failed;
}
