import { fail, ok, type Result } from '../base/result.ts';
import { ADMIN_SVID_FLAG, type FlagSpec } from '../cli/spec.ts';
import { counted } from '../cli/text.ts';
import { WITHIN_FLAG } from './flags.ts';
import { type JudgedCopy, type State, worstOf } from './judge.ts';

/** Flags of commands that judge copies. */
export const JUDGING_FLAGS: readonly FlagSpec[] = [
  { name: 'trust-domain', value: 'name', help: 'only bundles of this trust domain' },
  {
    name: 'against',
    value: 'source',
    help: 'what copies are compared to: cm/…, ctb/…, server; chosen unless told',
  },
  {
    name: 'source',
    value: 'source',
    repeat: true,
    help: 'one copy more, such as https://… or a file',
  },
  { name: 'secrets', help: 'read the ca.crt of Secrets of type kubernetes.io/tls too' },
  {
    name: 'server-socket',
    value: 'path',
    help: 'admin socket of the server or tcp://host:port, whose bundle then counts (SIGNET_SERVER_SOCKET)',
  },
  ADMIN_SVID_FLAG,
  WITHIN_FLAG,
];

/** States by which a copy differs from the reference; the same key anew, or near its end, is no drift. */
export const DRIFT: readonly State[] = [
  'Unreadable',
  'Empty',
  'Extra',
  'Tainted',
  'Stale',
  'Missing',
];

/** Whether a copy is in one of these states. */
export function isIn(judged: JudgedCopy, states: readonly State[]): boolean {
  return judged.states.some((state) => states.includes(state));
}

/** The refusal of the first cluster that could not be looked into, by which the exit code becomes 2. */
export function unreached(judged: readonly JudgedCopy[]): Result<void> {
  const lost = judged.find(({ copy }) => copy.place.source === 'cluster')?.copy.problem;
  return lost === undefined ? ok(undefined) : { ok: false, error: lost };
}

/** Refuses with what was found, by which the exit code becomes 1. */
export function findings(found: readonly JudgedCopy[], total: number): Result<never> {
  const copies = counted(total, 'copy', 'copies');
  return fail(
    'TRUST_FINDINGS',
    `${found.length} of ${copies} not in sync, the worst ${worstOf(found)}`,
  );
}
