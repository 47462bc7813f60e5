import { contextConstructed } from '../der/tags.ts';
import { derElement, derSequence, derTime, derUnsigned } from '../der/writer.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  derExtension,
  keyUsageExtension,
  subjectAltNameExtension,
  subjectKeyIdExtension,
} from './extension-writer.ts';
import { derName, type SubjectName } from './name-writer.ts';
import { OID } from './oids.ts';
import { serialToDecimal } from './serial.ts';
import { VERSION_3_DER } from './template.ts';

/** Subject of a CA, without the serial number that `caSubjectDer` adds. */
export type CaSubject = Omit<SubjectName, 'serialNumber'>;

/** What a CA certificate of a trust domain says. */
export interface CaFields {
  /** Big-endian magnitude above zero, as `drawSerial` makes it. */
  readonly serial: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo DER of the CA. */
  readonly spki: Uint8Array;
  /** Of the CA's key, see `subjectKeyId`. */
  readonly keyId: Uint8Array;
  /** Without it C=US, O=SPIFFE. */
  readonly subject?: CaSubject;
  /** `spiffe://trust-domain`, no path (X509-16). */
  readonly uri: string;
  /** Intermediates that may follow; without it, any number. */
  readonly pathLength?: number | undefined;
  /** Value DER of Name Constraints, which are critical (RFC 5280 §4.2.1.10); without it, none. */
  readonly nameConstraints?: Uint8Array | undefined;
  /** AlgorithmIdentifier DER that the signer signs with. */
  readonly signatureAlgorithm: Uint8Array;
  /** Who signs; without it the CA signs itself and gets no authority key identifier. */
  readonly issuer?: { readonly subjectDer: Uint8Array; readonly keyId: Uint8Array } | undefined;
}

/** Subject that SPIRE gives its authorities. */
const DEFAULT_CA_SUBJECT: CaSubject = { country: 'US', organization: 'SPIFFE' };

/**
 * Subject Name DER of a CA. It ends with the certificate's own serial number in decimal, so that no two
 * authorities of a trust domain have the same name and a path is found by name alone.
 */
export function caSubjectDer(
  serial: Uint8Array,
  subject: CaSubject = DEFAULT_CA_SUBJECT,
): Uint8Array {
  return derName({ ...subject, serialNumber: serialToDecimal(serial) });
}

/**
 * The TBSCertificate of a CA (X509-13 to X509-16); sign it and hand it to `assembleCertificate`. A time
 * that cannot be written and text that is not ASCII are a TypeError.
 */
export function buildCaTbs(fields: CaFields): Uint8Array {
  const subjectDer = caSubjectDer(fields.serial, fields.subject);
  const { issuer, nameConstraints } = fields;
  return derSequence(
    VERSION_3_DER,
    derUnsigned(fields.serial),
    fields.signatureAlgorithm,
    issuer?.subjectDer ?? subjectDer,
    derSequence(derTime(fields.notBeforeMs), derTime(fields.notAfterMs)),
    subjectDer,
    fields.spki,
    derElement(
      contextConstructed(3),
      derSequence(
        keyUsageExtension(['keyCertSign', 'crlSign']),
        basicConstraintsExtension(true, fields.pathLength),
        subjectKeyIdExtension(fields.keyId),
        ...(issuer === undefined ? [] : [authorityKeyIdExtension(issuer.keyId)]),
        subjectAltNameExtension(fields.uri, []),
        ...(nameConstraints === undefined
          ? []
          : [derExtension(OID.nameConstraints, true, nameConstraints)]),
      ),
    ),
  );
}
