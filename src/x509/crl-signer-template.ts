import { contextConstructed } from '../der/tags.ts';
import { derElement, derSequence, derTime, derUnsigned } from '../der/writer.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  keyUsageExtension,
  subjectKeyIdExtension,
} from './extension-writer.ts';
import { derName } from './name-writer.ts';
import { serialToDecimal } from './serial.ts';
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

/** Subject of a CRL signer. It ends with its own serial number, so that no two have the same name. */
export function crlSignerName(serial: Uint8Array): Uint8Array {
  return derName({
    country: 'US',
    organization: 'SPIFFE',
    commonName: 'CRL signer',
    serialNumber: serialToDecimal(serial),
  });
}

/**
 * The TBSCertificate of a CRL signer: cRLSign and nothing else. No SPIFFE ID, so that it is no SVID,
 * and no CA.
 */
export function buildCrlSignerTbs(fields: CrlSignerFields): Uint8Array {
  return derSequence(
    VERSION_3_DER,
    derUnsigned(fields.serial),
    fields.signatureAlgorithm,
    fields.issuer.subjectDer,
    derSequence(derTime(fields.notBeforeMs), derTime(fields.notAfterMs)),
    crlSignerName(fields.serial),
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
