import type { SignetError } from '../base/errors.ts';

/** How often one request was signed for without the API server taking the answer. */
export interface Signings {
  readonly times: number;
  /** When it was signed for last, by the monotonic clock. */
  readonly atMs: number;
  /** Why the answer was not taken; undefined while nothing stands against it. */
  readonly refusal: SignetError | undefined;
}

/** Of a request that was not signed for. */
export const NO_SIGNINGS: Signings = { times: 0, atMs: 0, refusal: undefined };

/** How long a certificate that could not be written is good for, in milliseconds. */
export const KEEP_MS = 120_000;
/** Longest wait between two signings for one request, in milliseconds. */
const MAX_WAIT_MS = 600_000;
/** Most signings for a request whose answer is refused for what it is. */
const MAX_SIGNINGS = 5;

/** Refusals that concern this object, not whether we may write at all, or can. */
const OF_OBJECT: ReadonlySet<string> = new Set(['KUBE_REFUSED', 'KUBE_CONFLICT']);

/**
 * Why a request is not to be signed for once more: every certificate that is signed is one in the ledger,
 * so answers that are not taken are signed ever more rarely, and those that the API server refuses for
 * what they are five times at most. Undefined where it may be signed for.
 */
export function signingBar(
  { times, atMs, refusal }: Signings,
  nowMs: number,
): { readonly isOver: boolean; readonly error: SignetError } | undefined {
  if (refusal === undefined) return undefined;
  if (times >= MAX_SIGNINGS && OF_OBJECT.has(refusal.code)) return { isOver: true, error: refusal };
  // The first is followed by another as soon as it is old, or who it is for has changed.
  const waitMs = times < 2 ? 0 : Math.min(KEEP_MS * 2 ** Math.min(times - 1, 10), MAX_WAIT_MS);
  return nowMs - atMs < waitMs ? { isOver: false, error: refusal } : undefined;
}
