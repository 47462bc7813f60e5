import type { Result } from '../base/result.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { Certificate } from '../x509/types.ts';

/** What this side of a TLS connection presents. */
export interface TlsIdentity {
  /** DER certificates, leaf first, without the root. */
  readonly chainDer: readonly Uint8Array[];
  /** Unencrypted PKCS#8 DER. */
  readonly privateKeyPkcs8: Uint8Array;
}

/** A peer whose chain was accepted. */
export interface ValidatedPeer {
  readonly id: SpiffeId;
  /** Leaf first. */
  readonly chain: readonly Certificate[];
}

/**
 * Judges a peer's raw chain, leaf first, as it was sent: today's bundles, SPIFFE rules and whose
 * trust domain may connect. Called once for each connection; must not throw.
 */
export type ChainValidator = (chainDer: readonly Uint8Array[]) => Result<ValidatedPeer>;
