import type { FederatedBundle, Federation, FederationDraft } from '../rules/federation.ts';
import type { Bundle } from '../spiffe/bundle.ts';

/**
 * When a write takes place: `create` where there is nothing, `update` over what is there, `set` either
 * way.
 */
export type WriteMode = 'create' | 'update' | 'set';

/** What became of a write; only `written` wrote. */
type Written<T> =
  | { readonly outcome: 'written'; readonly value: T }
  /** There is one already, as it stands. */
  | { readonly outcome: 'exists'; readonly value: T }
  | { readonly outcome: 'missing' }
  /** It is not what the write was made from. */
  | { readonly outcome: 'conflict' };

/** The bundle of another trust domain to be written. */
export interface FederatedBundleWrite {
  /** Kept with the sequence that its trust domain gave it. */
  readonly bundle: Bundle;
  readonly origin: string;
  readonly mode: WriteMode;
  /** Revision that it was made from, 0 where there was none; given, another one is a conflict. */
  readonly expectedRevision?: bigint | undefined;
  /** Revision that the relationship with its trust domain has to have still; else a conflict. */
  readonly expectedFederation?: bigint | undefined;
}

/** What became of a bundle to be written. */
export type WrittenFederatedBundle = Written<FederatedBundle>;

/**
 * A relationship to be written, and in the same transaction the bundle that comes with it. Where it passes
 * from one origin to another, the bundle of the former does, too.
 */
export interface FederationWrite {
  readonly federation: FederationDraft;
  readonly mode: WriteMode;
  /** Revision that it was made from; given, another one is a conflict. */
  readonly expectedRevision?: bigint | undefined;
  /** Put in the place of what is kept; with the relationship's origin. */
  readonly bundle?: Bundle | undefined;
  /** Revision of the bundle that is kept, 0 for none; given, another one is a conflict. */
  readonly expectedBundle?: bigint | undefined;
}

/** What became of a relationship to be written. */
export type WrittenFederation = Written<Federation>;

/** A relationship to be ended. */
export interface FederationDelete {
  /** Bare name. */
  readonly trustDomain: string;
  /**
   * Only the one of this origin, and with it the bundle of this origin: entries no longer federate with it.
   * Without, whoever made it; its bundle stays.
   */
  readonly origin?: string | undefined;
}

/** What becomes of the entries that federate with a trust domain whose bundle is deleted. */
export type FederatedBundleDeleteMode =
  /** With any of them the bundle stays. */
  | 'restrict'
  /** They are deleted. */
  | 'delete'
  /** They no longer federate with it. */
  | 'dissociate';

/** The bundle of another trust domain to be deleted. */
export interface FederatedBundleDelete {
  /** Bare name. */
  readonly trustDomain: string;
  readonly mode: FederatedBundleDeleteMode;
}

/** What became of it, and how many entries federate or did. */
export interface DeletedFederatedBundle {
  readonly outcome: 'deleted' | 'missing' | 'in-use';
  readonly entries: number;
}
