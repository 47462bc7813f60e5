import type { KeyObject } from 'node:crypto';

/** Public key algorithms that Signet knows by name. */
export type PublicKeyType =
  | 'ec-p256'
  | 'ec-p384'
  | 'ec-p521'
  | 'rsa'
  | 'ed25519'
  /** Parsed, but nothing here signs or verifies with it. */
  | 'unknown';

/** A SubjectPublicKeyInfo, parsed strictly. */
export interface PublicKey {
  readonly type: PublicKeyType;
  /** Modulus length for RSA, curve size for EC. */
  readonly bits: number;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  /** Content of the subjectPublicKey BIT STRING, what a key identifier hashes. */
  readonly subjectPublicKey: Uint8Array;
  /** Imported lazily by `toKeyObject` of `public-key.ts`; kept here so that it is done once. */
  keyObject?: KeyObject;
}

/** Key Usage bits (RFC 5280 §4.2.1.3). */
export interface KeyUsage {
  readonly critical: boolean;
  readonly digitalSignature: boolean;
  readonly contentCommitment: boolean;
  readonly keyEncipherment: boolean;
  readonly dataEncipherment: boolean;
  readonly keyAgreement: boolean;
  readonly keyCertSign: boolean;
  readonly crlSign: boolean;
  readonly encipherOnly: boolean;
  readonly decipherOnly: boolean;
}

/** Basic Constraints (RFC 5280 §4.2.1.9). */
export interface BasicConstraints {
  readonly critical: boolean;
  readonly ca: boolean;
  readonly pathLength: number | undefined;
}

/** One GeneralName (RFC 5280 §4.2.1.6); URI, DNS and e-mail as the IA5 text they hold. */
export type GeneralName =
  | { readonly kind: 'uri' | 'dns' | 'email'; readonly text: string }
  | { readonly kind: 'ip'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly der: Uint8Array }
  | { readonly kind: 'other'; readonly tag: number; readonly der: Uint8Array };

/** Subject Alternative Name. */
export interface SubjectAltName {
  readonly critical: boolean;
  readonly names: readonly GeneralName[];
}

/** Any extension, as it stands in the certificate. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** A certificate, read by the strict DER reader. What was not parsed is not here. */
export interface Certificate {
  /** The whole certificate. */
  readonly der: Uint8Array;
  /** TBSCertificate, the signed bytes. */
  readonly tbs: Uint8Array;
  readonly version: number;
  /** Content octets of the serialNumber INTEGER. */
  readonly serial: Uint8Array;
  /** The same, decimal: SPIRE's form on the wire. */
  readonly serialDecimal: string;
  readonly issuerDer: Uint8Array;
  readonly subjectDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly publicKey: PublicKey;
  /** Whether it has an issuer or subject unique identifier (RFC 5280 §4.1.2.8); never in ours. */
  readonly hasUniqueIds: boolean;
  /** AlgorithmIdentifier DER of the signature, the outer one; the inner one is checked equal. */
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  readonly extensions: readonly Extension[];
  readonly keyUsage: KeyUsage | undefined;
  readonly basicConstraints: BasicConstraints | undefined;
  readonly subjectAltName: SubjectAltName | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  readonly authorityKeyId: Uint8Array | undefined;
}

/** A PKCS#10 request, read by the strict DER reader. */
export interface CertificateRequest {
  readonly der: Uint8Array;
  /** CertificationRequestInfo, the signed bytes. */
  readonly info: Uint8Array;
  readonly subjectDer: Uint8Array;
  readonly publicKey: PublicKey;
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  /** URI SANs that the request asks for: what `MintX509SVID` reads, and nothing else does. */
  readonly requestedUris: readonly string[];
  readonly requestedDnsNames: readonly string[];
  /** Every name asked for, of all kinds, in order. */
  readonly requestedNames: readonly GeneralName[];
  /** Values of the basic constraints that it asks for, not read. */
  readonly requestedConstraints: readonly Uint8Array[];
}
