import type { Certificate } from '../x509/types.ts';
import type { TrustDomain } from './trust-domain.ts';

/** An X.509 authority of a bundle. */
export interface BundleX509Authority {
  readonly certificate: Certificate;
  readonly tainted: boolean;
}

/** A JWT authority of a bundle. */
export interface BundleJwtAuthority {
  readonly keyId: string;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  /** Unix seconds; 0 when unknown. */
  readonly expiresAtSeconds: number;
  readonly tainted: boolean;
}

/** What verifies the SVIDs of one trust domain (Trust Domain and Bundle §4). */
export interface Bundle {
  readonly trustDomain: TrustDomain;
  readonly x509Authorities: readonly BundleX509Authority[];
  readonly jwtAuthorities: readonly BundleJwtAuthority[];
  /** Grows whenever the contents change. */
  readonly sequence: bigint;
  /** Seconds. */
  readonly refreshHintSeconds: number;
}
