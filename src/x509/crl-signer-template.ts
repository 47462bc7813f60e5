import { contextConstructed } from '../der/tags.ts';
import { derElement, derSequence, derTime, derUnsigned } from '../der/writer.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  keyUsageExtension,
  subjectKeyIdExtension,
} from './extension-writer.ts';
import { VERSION_3_DER } from './template.ts';

/** What the certificate of a CRL signer says. */
export interface CrlSignerFields {
  /** Big-endian magnitude above zero, as `drawSerial` makes it. */
  readonly serial: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo DER of the signer. */
  readonly spki: Uint8Array;
  /** Of the signer's key. */
  readonly keyId: Uint8Array;
  /** AlgorithmIdentifier DER that the root signs with. */
  readonly signatureAlgorithm: Uint8Array;
  readonly issuer: { readonly subjectDer: Uint8Array; readonly keyId: Uint8Array };
}

/**
 * The TBSCertificate of a CRL signer: cRLSign and nothing else. No SPIFFE ID, so that it is no SVID,
 * and no CA. Self-issued: it bears the name of its root and another key (RFC 5280 §3.2, §4.2.1.1), so
 * that readers which look for the CRL of an issuer by name, as OpenSSL does, find that of the root's
 * leaves.
 */
export function buildCrlSignerTbs(fields: CrlSignerFields): Uint8Array {
  return derSequence(
    VERSION_3_DER,
    derUnsigned(fields.serial),
    fields.signatureAlgorithm,
    fields.issuer.subjectDer,
    derSequence(derTime(fields.notBeforeMs), derTime(fields.notAfterMs)),
    fields.issuer.subjectDer,
    fields.spki,
    derElement(
      contextConstructed(3),
      derSequence(
        keyUsageExtension(['crlSign']),
        basicConstraintsExtension(false),
        subjectKeyIdExtension(fields.keyId),
        authorityKeyIdExtension(fields.issuer.keyId),
      ),
    ),
  );
}
