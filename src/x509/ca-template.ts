/** What a CA certificate of a trust domain says. */
export interface CaFields {
  /** Big-endian magnitude, positive. */
  readonly serial: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo DER of the CA. */
  readonly spki: Uint8Array;
  readonly subject: CaSubject;
  /** `spiffe://trust-domain`, no path (X509-16). */
  readonly uri: string;
  /** Intermediates that may follow; without it, any number. */
  readonly pathLength?: number;
  /** AlgorithmIdentifier DER that the signer signs with. */
  readonly signatureAlgorithm: Uint8Array;
  /** Who signs; without it the CA signs itself and gets no authority key identifier. */
  readonly issuer?: { readonly subjectDer: Uint8Array; readonly keyId: Uint8Array };
}

/** Subject of a CA; the decimal serial number is added as serialNumber, so every CA's name is its own. */
export interface CaSubject {
  readonly country?: string;
  readonly organization?: string;
  readonly commonName?: string;
}

/** The TBSCertificate of a CA; sign it and hand it to `assembleCertificate`. */
export function buildCaTbs(_fields: CaFields): Uint8Array {
  return new Uint8Array();
}
