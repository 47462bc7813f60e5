import type { AuthorityKind, JournalEntry } from './journal.ts';

const DAY_MS = 24 * 3600 * 1000;

/** What the life of one kind of authority needs next. */
export type Step =
  /** A new authority is due; `state` is what it begins with. */
  | { readonly action: 'make'; readonly slot: string; readonly state: 'prepared' | 'active' }
  | { readonly action: 'activate'; readonly entry: JournalEntry }
  /** Nothing is due before this moment. */
  | { readonly action: 'wait'; readonly untilMs: number };

const SLOTS: Readonly<Record<AuthorityKind, readonly [string, string]>> = {
  x509: ['x509-CA-A', 'x509-CA-B'],
  jwt: ['JWT-Signer-A', 'JWT-Signer-B'],
};

/** When the successor is made and published: half of its life, but 30 days, before the end. */
export function prepareAtMs(entry: JournalEntry): number {
  return endMs(entry) - Math.min(lifeMs(entry) / 2, 30 * DAY_MS);
}

/**
 * When the successor takes over: a sixth of its life, but 7 days, before the end. So a leaf of that
 * length is never cut short by its authority's end.
 */
export function activateAtMs(entry: JournalEntry): number {
  return endMs(entry) - Math.min(lifeMs(entry) / 6, 7 * DAY_MS);
}

/** When an authority leaves the bundle: a day after its end. */
export function pruneAtMs(notAfterMs: number): number {
  return notAfterMs + DAY_MS;
}

/** The next step in the life of one kind, by its journal entries alone. */
export function nextStep(
  kind: AuthorityKind,
  entries: readonly JournalEntry[],
  nowMs: number,
): Step {
  const own = entries.filter((entry) => entry.kind === kind);
  const active = own.find((entry) => entry.state === 'active');
  const prepared = own.find((entry) => entry.state === 'prepared' && endMs(entry) > nowMs);
  if (active === undefined) {
    // The bundle holds a prepared one already: it goes before a new one that nobody knows yet.
    if (prepared !== undefined) return { action: 'activate', entry: prepared };
    return { action: 'make', slot: SLOTS[kind][0], state: 'active' };
  }
  const due = prepared === undefined ? prepareAtMs(active) : activateAtMs(active);
  if (nowMs < due) return { action: 'wait', untilMs: due };
  if (prepared !== undefined) return { action: 'activate', entry: prepared };
  const [first, second] = SLOTS[kind];
  return { action: 'make', slot: active.slot === first ? second : first, state: 'prepared' };
}

function endMs(entry: JournalEntry): number {
  return entry.notAfterSeconds * 1000;
}

function lifeMs(entry: JournalEntry): number {
  return (entry.notAfterSeconds - entry.issuedAtSeconds) * 1000;
}
