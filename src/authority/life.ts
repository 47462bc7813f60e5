import { fail, ok, type Result } from '../base/result.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { AuthorityKind, AuthorityState, JournalEntry } from './journal.ts';
import { KIND_RULES } from './kinds.ts';
import { pruneAtMs } from './schedule.ts';

/** Journal and bundle at one moment; every step of a life makes another pair. */
export interface Life {
  readonly entries: readonly JournalEntry[];
  readonly bundle: Bundle;
}

/** Steps that an operator may ask for by an authority's ID. */
export type Act = 'activate' | 'taint' | 'revoke';

const BEGINS_IN: Readonly<Record<Act, AuthorityState>> = {
  activate: 'published',
  taint: 'old',
  revoke: 'tainted',
};

/** What an operator does instead, by the state that the authority is in. */
const ADVICE: Readonly<Record<Act, Readonly<Record<AuthorityState, string>>>> = {
  activate: {
    prepared: 'it is not in the bundle yet; try again in a moment',
    published: '',
    active: 'it signs already',
    old: 'prepare another and activate that',
    tainted: 'prepare another and activate that',
    revoked: 'prepare another and activate that',
    expired: 'prepare another and activate that',
  },
  taint: {
    prepared: 'it has signed nothing; prepare another in its place',
    published: 'it has signed nothing; prepare another in its place',
    active: 'it signs; prepare and activate another first',
    old: '',
    tainted: 'that was done already; next comes revoke',
    revoked: 'that was done already, and it has left the bundle',
    expired: 'nothing that it signed is valid any more',
  },
  revoke: {
    prepared: 'it has signed nothing; prepare another in its place',
    published: 'it has signed nothing; prepare another in its place',
    active: 'it signs; prepare and activate another, then taint it',
    old: 'taint it first, so that agents renew what it signed',
    tainted: '',
    revoked: 'that was done already',
    expired: 'nothing that it signed is valid any more; it leaves the bundle by itself',
  },
};

/**
 * The authority that an operator's act is for. Fails with AUTHORITY_UNKNOWN, or with
 * AUTHORITY_WRONG_STATE and what to do first.
 */
export function findFor(
  act: Act,
  kind: AuthorityKind,
  authorityId: string,
  entries: readonly JournalEntry[],
): Result<JournalEntry> {
  const entry = entries.find((each) => each.kind === kind && each.authorityId === authorityId);
  if (entry === undefined) {
    const shown = JSON.stringify(authorityId.slice(0, 80));
    return fail('AUTHORITY_UNKNOWN', `there is no ${kind} authority ${shown}`);
  }
  const { state } = entry;
  if (state === BEGINS_IN[act]) return ok(entry);
  return fail(
    'AUTHORITY_WRONG_STATE',
    `authority ${entry.authorityId} is ${state}, so there is nothing to ${act}: ${ADVICE[act][state]}`,
  );
}

/**
 * With a new authority in place of any other that has not signed yet: those were never used, so they
 * leave the bundle with it.
 */
export function added(life: Life, entry: JournalEntry): Life {
  const isReplaced = ({ kind, state }: JournalEntry): boolean =>
    kind === entry.kind && (state === 'prepared' || state === 'published');
  const bundle = life.entries
    .filter((each) => isReplaced(each) && each.state === 'published')
    .reduce((rest, each) => KIND_RULES[each.kind].withdraw(rest, each), life.bundle);
  return { entries: [...life.entries.filter((each) => !isReplaced(each)), entry], bundle };
}

/** With the authority in the bundle; its state stays what it becomes next. */
export function published(
  life: Life,
  entry: JournalEntry,
  state: 'published' | 'active',
  nowMs: number,
): Result<Life> {
  const bundle = KIND_RULES[entry.kind].publish(life.bundle, entry);
  if (!bundle.ok) return bundle;
  const next: JournalEntry = {
    ...entry,
    state,
    // The store gives a changed bundle the next number in the same compare-and-swap. A root of the
    // upstream may stand in it already: who has this bundle has it.
    publishedSequence: Number(life.bundle.sequence) + (bundle.value === life.bundle ? 0 : 1),
    publishedAtSeconds: Math.floor(nowMs / 1000),
  };
  return ok({ entries: replaced(life.entries, entry, next), bundle: bundle.value });
}

/** With the authority as the one that signs; the one before it is old. */
export function activated(life: Life, entry: JournalEntry): Life {
  const entries = life.entries.map((each): JournalEntry => {
    if (each === entry) return { ...each, state: 'active' };
    const before = each.kind === entry.kind && each.state === 'active';
    return before ? { ...each, state: 'old' } : each;
  });
  return { ...life, entries };
}

/** With the authority tainted, in journal and bundle alike. */
export function tainted(life: Life, entry: JournalEntry): Life {
  return {
    entries: replaced(life.entries, entry, { ...entry, state: 'tainted' }),
    bundle: KIND_RULES[entry.kind].taint(life.bundle, entry),
  };
}

/** Without the authority in the bundle. */
export function revoked(life: Life, entry: JournalEntry): Life {
  return {
    entries: replaced(life.entries, entry, { ...entry, state: 'revoked' }),
    bundle: KIND_RULES[entry.kind].withdraw(life.bundle, entry),
  };
}

/** With the authority past its end; the bundle keeps it for another day. */
export function expired(life: Life, entry: JournalEntry): Life {
  return { ...life, entries: replaced(life.entries, entry, { ...entry, state: 'expired' }) };
}

/** Without entries whose authorities left the bundle by age. */
export function forgotten(
  entries: readonly JournalEntry[],
  nowMs: number,
): readonly JournalEntry[] {
  const live: readonly AuthorityState[] = ['prepared', 'published', 'active'];
  return entries.filter(
    (entry) => live.includes(entry.state) || nowMs < pruneAtMs(entry.notAfterSeconds * 1000),
  );
}

function replaced(
  entries: readonly JournalEntry[],
  entry: JournalEntry,
  next: JournalEntry,
): readonly JournalEntry[] {
  return entries.map((each) => (each === entry ? next : each));
}
