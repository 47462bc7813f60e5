import { type Bundle, emptyBundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { JournalEntry } from './journal.ts';
import { pruneAtMs } from './schedule.ts';

/**
 * A refresh hint is at most this; who polls by it is never further behind (SPIRE's default).
 */
const MAX_REFRESH_HINT_SECONDS = 300;

/** A bundle that trusts nothing yet, with how often to ask for more. */
export function firstBundle(trustDomain: TrustDomain): Bundle {
  return { ...emptyBundle(trustDomain), refreshHintSeconds: MAX_REFRESH_HINT_SECONDS };
}

/**
 * How often to fetch the bundle. A key stands in it for a third of its life before it signs;
 * publishing must run 3 to 5 hints ahead of use (Federation §4.1), so the hint is a fifth of that
 * third, taken from the shortest-lived authority of any kind.
 */
export function refreshHintSeconds(entries: readonly JournalEntry[]): number {
  const lives = entries.map((entry) => entry.notAfterSeconds - entry.issuedAtSeconds);
  const shortest = Math.min(...lives);
  return Math.max(1, Math.min(MAX_REFRESH_HINT_SECONDS, Math.floor(shortest / 15)));
}

/** The bundle without authorities that ended more than a day ago. */
export function pruneBundle(bundle: Bundle, nowMs: number): Bundle {
  const stays = (notAfterMs: number): boolean => nowMs < pruneAtMs(notAfterMs);
  return {
    ...bundle,
    x509Authorities: bundle.x509Authorities.filter((each) => stays(each.certificate.notAfterMs)),
    jwtAuthorities: bundle.jwtAuthorities.filter(
      // 0 says that nobody knows when it ends.
      (each) => each.expiresAtSeconds === 0 || stays(each.expiresAtSeconds * 1000),
    ),
  };
}

/** When the bundle next loses an authority; undefined where none ever does. */
export function nextPruneMs(bundle: Bundle): number | undefined {
  const ends = [
    ...bundle.x509Authorities.map((each) => each.certificate.notAfterMs),
    ...bundle.jwtAuthorities
      .filter((each) => each.expiresAtSeconds !== 0)
      .map((each) => each.expiresAtSeconds * 1000),
  ];
  return ends.length === 0 ? undefined : pruneAtMs(Math.min(...ends));
}
