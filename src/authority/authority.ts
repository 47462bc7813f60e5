import type { Result } from '../base/result.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { Bundle, BundleJwtAuthority } from '../spiffe/bundle.ts';
import type { Certificate } from '../x509/types.ts';
import type { AuthorityKind, AuthorityState } from './journal.ts';

/** An X.509 authority that may sign leaves. */
export interface X509Authority {
  /** Hex of its subject key identifier: the name it has in logs and commands. */
  readonly authorityId: string;
  readonly key: LintedKey;
  readonly certificate: Certificate;
  /**
   * What follows a leaf in its chain: intermediates up to but not including the root (X509-25).
   * Empty for a self-signed authority.
   */
  readonly chain: readonly Uint8Array[];
  readonly notAfterMs: number;
  /** Value of the CRL distribution points (RFC 5280 §4.2.1.13) of its leaves; none unless given. */
  readonly crlPoints?: Uint8Array;
}

/** A JWT authority that may sign tokens. */
export interface JwtAuthority {
  /** The `kid` of its tokens. */
  readonly keyId: string;
  readonly key: LintedKey;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
}

/** What issuance asks: who signs now. Both refuse with AUTHORITY_NOT_READY or AUTHORITY_EXPIRED. */
export interface AuthoritySource {
  currentX509(): Result<X509Authority>;
  currentJwt(): Result<JwtAuthority>;
  /** Calls `listener` after the active authority of either kind changed. Returns what ends it. */
  onChange(listener: () => void): () => void;
}

/** An authority as operators see it. */
export interface AuthorityView {
  readonly kind: AuthorityKind;
  /** Hex subject key identifier of an X.509 authority, key id of a JWT authority. */
  readonly authorityId: string;
  readonly state: AuthorityState;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
  /** Hex subject key identifier of the root that it leads to; undefined where it is one. */
  readonly upstreamKeyId?: string | undefined;
}

/** How an authority is made the one that signs. */
export interface ActivateOptions {
  /** Waits for no agent; for when the authority that signs was stolen. */
  readonly force: boolean;
}

/**
 * What operators do to authorities. Each act answers when it is durable in journal and bundle, and
 * fails with AUTHORITY_UNKNOWN or AUTHORITY_WRONG_STATE where it does not fit.
 */
export interface AuthorityActs {
  /** Every authority of the kind that is known, in order of age. */
  list(kind: AuthorityKind): readonly AuthorityView[];
  /** Makes and publishes a successor, in place of one that has not signed yet. */
  prepare(kind: AuthorityKind): Promise<Result<AuthorityView>>;
  /**
   * Makes a published authority the one that signs. Waits a while for the agents that have to know it
   * first; fails with AUTHORITY_NOT_PROPAGATED where that is not enough.
   */
  activate(
    kind: AuthorityKind,
    authorityId: string,
    options: ActivateOptions,
  ): Promise<Result<AuthorityView>>;
  /** Has agents renew at once what an old authority signed. */
  taint(kind: AuthorityKind, authorityId: string): Promise<Result<AuthorityView>>;
  /** Takes a tainted authority out of the bundle and gives up its key. */
  revoke(kind: AuthorityKind, authorityId: string): Promise<Result<AuthorityView>>;
  /**
   * Taints a root of the upstream, so that agents renew what leads to it, or takes a tainted one out of
   * the bundle for good; answers its subject key identifier. Errors besides: AUTHORITY_NO_UPSTREAM,
   * UPSTREAM_OWNS_ROOT.
   */
  endUpstreamRoot(act: 'taint' | 'revoke', subjectKeyId: string): Promise<Result<string>>;
}

/** Life of the signing authorities: made, published, activated and pruned on time. */
export interface AuthorityManager extends AuthoritySource, AuthorityActs {
  /**
   * Finds the authorities of the last run or makes new ones, publishes them and arms the timers.
   * Answers when there is an active authority of each kind, durable in journal and bundle.
   */
  start(): Promise<Result<void>>;
  /** The bundle as last committed; undefined before {@link start}. */
  bundle(): Bundle | undefined;
  /**
   * Takes the JWT key of a server below this one into the bundle, durably, and upstream where there is
   * one; answers the bundle with it. Errors: DOWNSTREAM_JWT_KEY, UPSTREAM_*.
   */
  acceptJwtKey(key: BundleJwtAuthority): Promise<Result<Bundle>>;
  /** Stops the timers and waits for a step under way. */
  close(): Promise<void>;
}
