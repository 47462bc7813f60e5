import { equalBytes, toHex } from '../base/bytes.ts';
import type { Certificate, PublicKey } from '../x509/types.ts';
import type { JwsAlgorithm } from './jws.ts';
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
  /** The only algorithm that the key verifies, where its publisher said so. */
  readonly algorithm?: JwsAlgorithm;
  /** Read from `publicKeySpki` once, when first needed; never set by hand. */
  publicKey?: PublicKey;
}

/** What verifies the SVIDs of one trust domain (Trust Domain and Bundle §4). */
export interface Bundle {
  readonly trustDomain: TrustDomain;
  readonly x509Authorities: readonly BundleX509Authority[];
  readonly jwtAuthorities: readonly BundleJwtAuthority[];
  /** Grows whenever the contents change; unsigned 64-bit, 0 when unknown. */
  readonly sequence: bigint;
  /** Seconds; 0 when unknown. */
  readonly refreshHintSeconds: number;
}

/**
 * The bundle of a trust domain, if one is held. Validators ask with the trust domain of the SVID and
 * use nothing else (SPIFFE-ID §3): bundles of several trust domains are never pooled.
 */
export type BundleSource = (trustDomain: TrustDomain) => Bundle | undefined;

/** A bundle that trusts nothing yet. */
export function emptyBundle(trustDomain: TrustDomain): Bundle {
  return {
    trustDomain,
    x509Authorities: [],
    jwtAuthorities: [],
    sequence: 0n,
    refreshHintSeconds: 0,
  };
}

/** The certificates of the X.509 authorities, in bundle order. */
export function x509Roots(bundle: Bundle): readonly Certificate[] {
  return bundle.x509Authorities.map(({ certificate }) => certificate);
}

/** Key identifiers, in hex, of the X.509 authorities that are tainted. */
export function taintedX509KeyIds(bundle: Bundle): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const { certificate, tainted } of bundle.x509Authorities) {
    if (tainted && certificate.subjectKeyId !== undefined) ids.add(toHex(certificate.subjectKeyId));
  }
  return ids;
}

/** Key ids of the JWT authorities that are tainted. */
export function taintedJwtKeyIds(bundle: Bundle): ReadonlySet<string> {
  return new Set(bundle.jwtAuthorities.filter(({ tainted }) => tainted).map(({ keyId }) => keyId));
}

/** Key identifiers, in hex, of the authorities that signed the certificates of a chain. */
export function signerKeyIds(chain: readonly Certificate[]): readonly string[] {
  return chain.flatMap(({ authorityKeyId }) =>
    authorityKeyId === undefined ? [] : [toHex(authorityKeyId)],
  );
}

/** With the authority at the end, or in the place of the one with the same certificate. */
export function withX509Authority(bundle: Bundle, authority: BundleX509Authority): Bundle {
  const same = (other: BundleX509Authority): boolean =>
    equalBytes(other.certificate.der, authority.certificate.der);
  return { ...bundle, x509Authorities: replaced(bundle.x509Authorities, authority, same) };
}

/**
 * Whether two bundles say the same: trust domain, authorities in any order and refresh hint. The
 * sequence is left out, since it is what has to grow when this is false (BUNDLE-4).
 */
export function sameBundleContents(a: Bundle, b: Bundle): boolean {
  return (
    a.trustDomain.name === b.trustDomain.name &&
    a.refreshHintSeconds === b.refreshHintSeconds &&
    sameSet(a.x509Authorities.map(x509Text), b.x509Authorities.map(x509Text)) &&
    sameSet(a.jwtAuthorities.map(jwtText), b.jwtAuthorities.map(jwtText))
  );
}

function replaced<T>(list: readonly T[], item: T, same: (other: T) => boolean): readonly T[] {
  return list.some(same) ? list.map((other) => (same(other) ? item : other)) : [...list, item];
}

function x509Text({ certificate, tainted }: BundleX509Authority): string {
  return `${tainted} ${toHex(certificate.der)}`;
}

function jwtText(authority: BundleJwtAuthority): string {
  const { keyId, publicKeySpki, expiresAtSeconds, tainted, algorithm } = authority;
  return JSON.stringify([keyId, toHex(publicKeySpki), expiresAtSeconds, tainted, algorithm ?? '']);
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  const [left, right] = [a.toSorted(), b.toSorted()];
  return left.every((text, index) => text === right[index]);
}
