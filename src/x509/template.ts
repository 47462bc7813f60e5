/** What is the same in every leaf of one issuer. */
export interface LeafIssuer {
  /** Subject Name DER of the issuing certificate. */
  readonly subjectDer: Uint8Array;
  /** Subject key identifier of the issuing certificate. */
  readonly keyId: Uint8Array;
  /** AlgorithmIdentifier DER that the issuer signs with. */
  readonly signatureAlgorithm: Uint8Array;
}

/** Prepared once per issuer by `createLeafTemplate`; opaque. */
export interface LeafTemplate {
  readonly signatureAlgorithm: Uint8Array;
}

/** What differs from leaf to leaf. */
export interface LeafFields {
  /** Big-endian magnitude, positive, as `drawSerial` makes it. */
  readonly serial: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  /** Of the leaf's key, see `subjectKeyId`. */
  readonly keyId: Uint8Array;
  /** The SPIFFE ID. */
  readonly uri: string;
  /** In entry order; the first becomes the common name. */
  readonly dnsNames: readonly string[];
}

/** Prepares what every leaf of an issuer shares. */
export function createLeafTemplate(issuer: LeafIssuer): LeafTemplate {
  return { signatureAlgorithm: issuer.signatureAlgorithm };
}

/** The TBSCertificate of a leaf, by concatenation. */
export function buildLeafTbs(_template: LeafTemplate, _fields: LeafFields): Uint8Array {
  return new Uint8Array();
}

/** The Certificate from its signed parts. */
export function assembleCertificate(
  _tbs: Uint8Array,
  _signatureAlgorithm: Uint8Array,
  _signature: Uint8Array,
): Uint8Array {
  return new Uint8Array();
}
