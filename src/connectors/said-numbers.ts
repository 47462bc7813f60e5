/** Most flows that are believed of one connector: all of a group together stay within 64 bits. */
const MAX_FLOWS = 0xffff_ffffn;

/**
 * A connector's clock minus ours, in milliseconds. What no 64-bit field could be answered with counts as
 * the farthest that one can: a connector must not keep operators from reading how the others are.
 */
export function clockOffsetOf(clockMs: bigint, nowMs: number): number {
  const offsetMs = Number(clockMs) - nowMs;
  return Math.min(Math.max(offsetMs, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

/** Flows that a connector says it has, within reason. */
export function flowsOf(said: bigint): bigint {
  return said > MAX_FLOWS ? MAX_FLOWS : said;
}
