import type { X509Authority } from '../authority/authority.ts';
import { ok, type Result } from '../base/result.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';
import { createLeafIssuer, draftLeaf, type LeafIssuer, type LeafOrder, signLeaf } from './leaf.ts';

/** Leaves that were checked, built and linted together, and wait for their record. */
export interface DraftBatch {
  /** SHA-256 of each body in order, or why there is none. */
  readonly tbsHashes: readonly Result<Uint8Array>[];
  /** Signs what was drafted; once. Answers DER in the order of {@link tbsHashes}. */
  sign(): Promise<readonly Result<Uint8Array>[]>;
  /** Forgets the drafts unsigned. */
  discard(): void;
}

/** Where leaves are made: steps 1, 2 and 4 run in one place, and what they hold stays there. */
export interface Workshop {
  /** Checks keys, builds bodies and lints them. `lane` names who asks, for fair turns. */
  draft(orders: readonly LeafOrder[], authority: X509Authority, lane: string): Promise<DraftBatch>;
}

/** Answers what was prepared once per authority. */
function leafIssuerCache(blocked: BlockedKeys): (authority: X509Authority) => LeafIssuer {
  const issuers = new WeakMap<X509Authority, LeafIssuer>();
  return (authority) => {
    const known = issuers.get(authority);
    if (known !== undefined) return known;
    const { key, certificate, crlPoints } = authority;
    const issuer = createLeafIssuer(key, certificate, blocked, crlPoints);
    issuers.set(authority, issuer);
    return issuer;
  };
}

/** A workshop on the calling thread, for single requests and for keys that live elsewhere. */
export function createLocalWorkshop(blocked: BlockedKeys): Workshop {
  const issuerOf = leafIssuerCache(blocked);
  return {
    draft: async (orders, authority) => draftHere(orders, issuerOf(authority)),
  };
}

/** Drafts on this very thread. */
export function draftHere(orders: readonly LeafOrder[], issuer: LeafIssuer): DraftBatch {
  let drafts = orders.map((order) => draftLeaf(order, issuer));
  return {
    tbsHashes: drafts.map((draft) => (draft.ok ? ok(draft.value.tbsHash) : draft)),
    // All at once: a key behind a network answers many as fast as one.
    sign: () =>
      Promise.all(drafts.map((draft) => (draft.ok ? signLeaf(draft.value, issuer) : draft))),
    discard: () => {
      drafts = [];
    },
  };
}
