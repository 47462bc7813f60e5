import type { DerivedChange, DerivedEntry } from '../derived.ts';
import { comparePrecedence } from './pod-rule.ts';

/** Counts of one rule's entries. */
export interface ClaimCounts {
  /** Entries that are in force. */
  set: number;
  /** Entries that an older rule gives too. */
  masked: number;
}

/** An entry that a rule gives. */
export interface Claim extends DerivedEntry {
  readonly counts: ClaimCounts;
}

/**
 * Who gives which entry. Of several that give the same one, by identity, parent and selectors, one is in
 * force and masks the others. What changed is kept until it is taken.
 */
export class Claims {
  readonly #claims = new Map<string, readonly Claim[]>();
  readonly #published = new Map<string, Claim>();
  readonly #touched = new Set<string>();

  /** Entries in force. */
  get size(): number {
    return this.#published.size;
  }

  /** All entries in force. */
  published(): Iterable<DerivedEntry> {
    return this.#published.values();
  }

  /** Who masks a claim: the one in force under its ID. */
  winner(id: string): Claim | undefined {
    return this.#claims.get(id)?.[0];
  }

  add(claim: Claim): void {
    const { id } = claim.entry;
    const before = this.#claims.get(id) ?? [];
    const after = [...before, claim].sort((a, b) =>
      comparePrecedence(a.source.rule, b.source.rule),
    );
    this.#replace(id, before, after);
  }

  remove(claim: Claim): void {
    const { id } = claim.entry;
    const before = this.#claims.get(id) ?? [];
    const after = before.filter((other) => other !== claim);
    if (after.length < before.length) this.#replace(id, before, after);
  }

  /** What changed since the last call. */
  take(): DerivedChange {
    const upserts: DerivedEntry[] = [];
    const deletedIds: string[] = [];
    for (const id of this.#touched) {
      const [winner] = this.#claims.get(id) ?? [];
      const before = this.#published.get(id);
      if (winner === undefined) {
        if (this.#published.delete(id)) deletedIds.push(id);
        continue;
      }
      this.#published.set(id, winner);
      if (before === undefined || !sayTheSame(before, winner)) upserts.push(winner);
    }
    this.#touched.clear();
    return { upserts, deletedIds };
  }

  #replace(id: string, before: readonly Claim[], after: readonly Claim[]): void {
    count(before, -1);
    count(after, 1);
    if (after.length === 0) this.#claims.delete(id);
    else this.#claims.set(id, after);
    this.#touched.add(id);
  }
}

function count(claims: readonly Claim[], by: 1 | -1): void {
  for (const [index, { counts }] of claims.entries()) counts[index === 0 ? 'set' : 'masked'] += by;
}

function sayTheSame(a: DerivedEntry, b: DerivedEntry): boolean {
  return (
    a.entry.revision === b.entry.revision &&
    a.entry.createdAtSeconds === b.entry.createdAtSeconds &&
    a.source.rule.uid === b.source.rule.uid
  );
}
