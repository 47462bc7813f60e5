import type { Result } from '../base/result.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { Certificate } from '../x509/types.ts';

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

/** Life of the signing authorities: made, published, activated and pruned on time. */
export interface AuthorityManager extends AuthoritySource {
  /**
   * Finds the authorities of the last run or makes new ones, publishes them and arms the timers.
   * Answers when there is an active authority of each kind, durable in journal and bundle.
   */
  start(): Promise<Result<void>>;
  /** The bundle as last committed; undefined before {@link start}. */
  bundle(): Bundle | undefined;
  /** Stops the timers and waits for a step under way. */
  close(): Promise<void>;
}
