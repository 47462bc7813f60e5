import type { AuthorityKind, JournalEntry } from './journal.ts';

const DAY_MS = 24 * 3600 * 1000;

/** What the life of one kind of authority needs next. */
export type Step =
  /** A new authority is due; `state` is what it begins with. */
  | { readonly action: 'make'; readonly slot: string; readonly state: 'prepared' | 'active' }
  | { readonly action: 'publish' | 'expire'; readonly entry: JournalEntry }
  /** `replaced` signs until then; undefined where nothing can sign, so that nothing is waited for. */
  | {
      readonly action: 'activate';
      readonly entry: JournalEntry;
      readonly replaced: JournalEntry | undefined;
    }
  /** Nothing is due before this moment. */
  | { readonly action: 'wait'; readonly untilMs: number };

/** The two slots of each kind; a new authority takes the one that the active one does not have. */
export const SLOTS: Readonly<Record<AuthorityKind, readonly [string, string]>> = {
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

/**
 * The next step in the life of one kind, by its journal entries alone. One that is `outdated` is
 * replaced as soon as may be: the configuration wants another kind, or its root was tainted.
 */
export function nextStep(
  kind: AuthorityKind,
  entries: readonly JournalEntry[],
  nowMs: number,
  outdated: (entry: JournalEntry) => boolean = () => false,
): Step {
  const own = entries.filter((entry) => entry.kind === kind);
  const retired = own.filter(({ state }) => state === 'old' || state === 'tainted');
  const over = retired.find((entry) => endMs(entry) <= nowMs);
  if (over !== undefined) return { action: 'expire', entry: over };
  const alive = own.filter((entry) => endMs(entry) > nowMs && !outdated(entry));
  const prepared = alive.find(({ state }) => state === 'prepared');
  if (prepared !== undefined) return { action: 'publish', entry: prepared };
  const active = own.find(({ state }) => state === 'active');
  const published = alive.find(({ state }) => state === 'published');
  if (active === undefined) {
    // The bundle holds a published one already: it goes before a new one that nobody knows yet.
    if (published !== undefined)
      return { action: 'activate', entry: published, replaced: undefined };
    return { action: 'make', slot: SLOTS[kind][0], state: 'active' };
  }
  const due = published === undefined ? prepareAtMs(active) : activateAtMs(active);
  if (nowMs < due && !outdated(active))
    return { action: 'wait', untilMs: Math.min(due, ...retired.map(endMs)) };
  if (published !== undefined) return { action: 'activate', entry: published, replaced: active };
  return { action: 'make', slot: otherSlot(active), state: 'prepared' };
}

/** The slot for the successor of the active authority. */
export function otherSlot(active: JournalEntry): string {
  const [first, second] = SLOTS[active.kind];
  return active.slot === first ? second : first;
}

/** When an authority ends, in Unix milliseconds. */
export function endMs(entry: JournalEntry): number {
  return entry.notAfterSeconds * 1000;
}

function lifeMs(entry: JournalEntry): number {
  return (entry.notAfterSeconds - entry.issuedAtSeconds) * 1000;
}
