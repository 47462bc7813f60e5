import { contextConstructed } from '../der/tags.ts';
import { derElement, derSequence, derTime, derUnsigned } from '../der/writer.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  derExtension,
  keyUsageExtension,
  permittedUriHost,
  subjectKeyIdExtension,
} from './extension-writer.ts';
import { OID } from './oids.ts';
import { VERSION_3_DER } from './template.ts';

/** What the certificate of the enrolment root, or of a vendor's CA below it, says. */
export interface EnrolmentFields {
  /** Big-endian magnitude above zero, as `drawSerial` makes it. */
  readonly serial: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Name DER. */
  readonly subjectDer: Uint8Array;
  /** SubjectPublicKeyInfo DER of the CA. */
  readonly spki: Uint8Array;
  /** Of the CA's key, see `subjectKeyId`. */
  readonly keyId: Uint8Array;
  /** CAs that may follow. */
  readonly pathLength: number;
  /** AlgorithmIdentifier DER that the signer signs with. */
  readonly signatureAlgorithm: Uint8Array;
  /** Who signs; without it the CA signs itself and gets no authority key identifier. */
  readonly issuer?: { readonly subjectDer: Uint8Array; readonly keyId: Uint8Array } | undefined;
}

/** A host that no name can have (RFC 2606 §2, RFC 6761 §6.4): the only one whose URIs are permitted. */
const NOBODY = 'uri-names-are-refused.invalid';

/**
 * Value of the name constraints of both: no URI is within them. RFC 5280 §4.2.1.10 has no subtree of all
 * URIs that could be excluded, and verifiers differ on an empty one; to permit one host alone, which
 * nobody has, says the same in a form that all of them read. URIs without a host are refused as well.
 */
export const NO_URI_NAMES: Uint8Array = permittedUriHost(NOBODY);

/**
 * The TBSCertificate of a CA that is outside of SPIFFE: no alternative name, so that it is no authority
 * of a trust domain (X509-SVID §4), and no leaf with a URI is valid below it.
 */
export function buildEnrolmentTbs(fields: EnrolmentFields): Uint8Array {
  const { issuer } = fields;
  return derSequence(
    VERSION_3_DER,
    derUnsigned(fields.serial),
    fields.signatureAlgorithm,
    issuer?.subjectDer ?? fields.subjectDer,
    derSequence(derTime(fields.notBeforeMs), derTime(fields.notAfterMs)),
    fields.subjectDer,
    fields.spki,
    derElement(
      contextConstructed(3),
      derSequence(
        keyUsageExtension(['keyCertSign', 'crlSign']),
        basicConstraintsExtension(true, fields.pathLength),
        subjectKeyIdExtension(fields.keyId),
        ...(issuer === undefined ? [] : [authorityKeyIdExtension(issuer.keyId)]),
        derExtension(OID.nameConstraints, true, NO_URI_NAMES),
      ),
    ),
  );
}
