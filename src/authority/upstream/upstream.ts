import type { Result } from '../../base/result.ts';
import type { BundleJwtAuthority, BundleX509Authority } from '../../spiffe/bundle.ts';

/** What an upstream authority is asked to certify: a key that stays in this server's key manager. */
export interface CertifyOrder {
  /** PKCS#10 DER, signed by the key; asks for the SPIFFE ID of the trust domain. */
  readonly csr: Uint8Array;
  /** SubjectPublicKeyInfo DER of the same key. */
  readonly spki: Uint8Array;
  /** Life that is wished for; the upstream decides. */
  readonly ttlSeconds: number;
}

/** What came back; nothing of it is believed before `checkAnswer` did. */
export interface UpstreamAnswer {
  /** DER: the new CA first, then the CAs between it and a root. */
  readonly chain: readonly Uint8Array[];
  /** DER of the roots to trust. */
  readonly roots: readonly Uint8Array[];
}

/** What an upstream says is to be trusted now. */
export interface UpstreamTrust {
  readonly x509: readonly BundleX509Authority[];
  /** Undefined where the upstream knows nothing of JWT keys. */
  readonly jwt: readonly BundleJwtAuthority[] | undefined;
}

/**
 * One kind of upstream authority: disk, another server, Vault. Errors: UPSTREAM_*. It neither retries
 * nor remembers: `Upstream` does, for all of them.
 */
export interface UpstreamAuthority {
  /** Name of the kind, as in the configuration. */
  readonly name: string;
  /** How often `trusted` is asked; files and servers change without telling. */
  readonly pollMs: number;
  certify(order: CertifyOrder): Promise<Result<UpstreamAnswer>>;
  /** What is to be trusted now; undefined where only the answers of `certify` tell. */
  trusted(): Promise<Result<UpstreamTrust | undefined>>;
  /** Has a JWT key of this server trusted in the whole trust domain; answers all that are. */
  publishJwtKey?(key: BundleJwtAuthority): Promise<Result<readonly BundleJwtAuthority[]>>;
  close(): Promise<void>;
}
