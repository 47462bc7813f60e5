import type { BundleContent, X509Authority } from './model.ts';

const WEEK_MS = 7 * 86_400_000;
/** The last part of a life, where nothing was asked for: later than anybody renews who is well. */
const PART_OF_LIFE = 6;

/**
 * How long before its end something is near it, in milliseconds: what was asked for, else a week, or the last
 * sixth of a life that is shorter than six weeks.
 */
export function nearMs(lifeMs: number | undefined, withinMs: number | undefined): number {
  if (withinMs !== undefined) return withinMs;
  return Math.min(WEEK_MS, (lifeMs ?? Number.POSITIVE_INFINITY) / PART_OF_LIFE);
}

/** {@link nearMs} of an authority's certificate. */
export function nearMsOf({ certificate }: X509Authority, withinMs: number | undefined): number {
  return nearMs(certificate.notAfterMs - certificate.notBeforeMs, withinMs);
}

/**
 * {@link nearMs} of the JWT authorities of a bundle, which say when they end and not when they began: as
 * those for X.509, which the same servers rotate alike.
 */
export function jwtNearMs({ x509 }: BundleContent, withinMs: number | undefined): number {
  if (withinMs !== undefined) return withinMs;
  return Math.min(WEEK_MS, ...x509.map((authority) => nearMsOf(authority, undefined)));
}

/**
 * Whether a bundle runs out. Where a time was asked for, any authority that ends within it will do; else the
 * last one of its kind has to be near its end: one whose successor is there already is being rotated.
 */
export function runsOut(
  content: BundleContent,
  nowMs: number,
  withinMs: number | undefined,
): boolean {
  const x509 = content.x509.map((authority) => ({
    endMs: authority.certificate.notAfterMs,
    nearMs: nearMsOf(authority, withinMs),
  }));
  const near = jwtNearMs(content, withinMs);
  const jwt = content.jwt.flatMap(({ expiresAtMs: endMs }) =>
    endMs === undefined ? [] : [{ endMs, nearMs: near }],
  );
  return [x509, jwt].some((kind) => {
    const live = kind.filter(({ endMs }) => endMs > nowMs);
    const isNear = (one: (typeof live)[number]): boolean => one.endMs <= nowMs + one.nearMs;
    if (live.length === 0) return false;
    return withinMs === undefined ? live.every(isNear) : live.some(isNear);
  });
}
