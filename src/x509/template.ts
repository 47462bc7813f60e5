import { contextConstructed } from '../der/tags.ts';
import {
  derBitString,
  derElement,
  derNumber,
  derOid,
  derSequence,
  derTime,
  derUnsigned,
} from '../der/writer.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  derExtension,
  extendedKeyUsageExtension,
  keyUsageExtension,
  subjectAltNameExtension,
  subjectKeyIdExtension,
} from './extension-writer.ts';
import { derRdn } from './name-writer.ts';
import { OID } from './oids.ts';

/** What is the same in every leaf of one issuer. */
export interface LeafIssuer {
  /** Subject Name DER of the issuing certificate. */
  readonly subjectDer: Uint8Array;
  /** Subject key identifier of the issuing certificate. */
  readonly keyId: Uint8Array;
  /** AlgorithmIdentifier DER that the issuer signs with, see `signatureAlgorithmDer`. */
  readonly signatureAlgorithm: Uint8Array;
  /** Value of CRL Distribution Points; leaves have none unless given. */
  readonly crlPoints?: Uint8Array | undefined;
}

/** The parts that all leaves of an issuer share, encoded once. */
export interface LeafTemplate {
  readonly signatureAlgorithm: Uint8Array;
  readonly issuerDer: Uint8Array;
  /** Key usage, extended key usage, basic constraints. */
  readonly usageExtensions: Uint8Array;
  readonly authorityKeyId: Uint8Array;
  /** CRL distribution points; empty where there are none. */
  readonly crlPoints: Uint8Array;
}

/** What differs from leaf to leaf. */
export interface LeafFields {
  /** Big-endian magnitude above zero, as `drawSerial` makes it. */
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

/** `[0] EXPLICIT` version 3. */
export const VERSION_3_DER = derElement(contextConstructed(0), derNumber(2));

/** RDNs that SPIRE gives the subjects of its leaves: C=US, O=SPIRE. */
const LEAF_RDNS = Buffer.concat([
  derRdn(derOid(OID.country), 'US'),
  derRdn(derOid(OID.organization), 'SPIRE'),
]);

/** Subject of a leaf without DNS names. */
const LEAF_SUBJECT = derSequence(LEAF_RDNS);

const COMMON_NAME_OID = derOid(OID.commonName);

/** Longest common name (RFC 5280 Appendix A.1, ub-common-name), in characters. */
export const MAX_COMMON_NAME = 64;

/** Prepares what every leaf of an issuer shares. */
export function createLeafTemplate(issuer: LeafIssuer): LeafTemplate {
  return {
    signatureAlgorithm: issuer.signatureAlgorithm,
    issuerDer: issuer.subjectDer,
    usageExtensions: Buffer.concat([
      // X509-8, X509-9, X509-10; X509-11: neither keyCertSign nor cRLSign.
      keyUsageExtension(['digitalSignature', 'keyEncipherment', 'keyAgreement']),
      // X509-12: both or none.
      extendedKeyUsageExtension([OID.serverAuth, OID.clientAuth]),
      // X509-7: present, and no CA.
      basicConstraintsExtension(false),
    ]),
    authorityKeyId: authorityKeyIdExtension(issuer.keyId),
    crlPoints:
      issuer.crlPoints === undefined
        ? new Uint8Array()
        : derExtension(OID.crlDistributionPoints, false, issuer.crlPoints),
  };
}

/**
 * Subject of a leaf: SPIRE's, with the first DNS name as common name. A DNS name that is longer than a
 * common name may be stands in the alternative names only.
 */
function leafSubject(dnsNames: readonly string[]): Uint8Array {
  const commonName = dnsNames[0];
  if (commonName === undefined || commonName.length > MAX_COMMON_NAME) return LEAF_SUBJECT;
  return derSequence(LEAF_RDNS, derRdn(COMMON_NAME_OID, commonName));
}

/**
 * The TBSCertificate of a leaf (spire-compatible profile): concatenation only. The caller has checked
 * the fields; text that is not ASCII or a time that cannot be written is a TypeError.
 */
export function buildLeafTbs(template: LeafTemplate, fields: LeafFields): Uint8Array {
  return derSequence(
    VERSION_3_DER,
    derUnsigned(fields.serial),
    template.signatureAlgorithm,
    template.issuerDer,
    derSequence(derTime(fields.notBeforeMs), derTime(fields.notAfterMs)),
    leafSubject(fields.dnsNames),
    fields.spki,
    derElement(
      contextConstructed(3),
      derSequence(
        template.usageExtensions,
        subjectKeyIdExtension(fields.keyId),
        template.authorityKeyId,
        subjectAltNameExtension(fields.uri, fields.dnsNames),
        template.crlPoints,
      ),
    ),
  );
}

/**
 * The Certificate from its signed parts, in memory of its own.
 *
 * @param signatureAlgorithm The AlgorithmIdentifier DER that also stands in the TBSCertificate.
 */
export function assembleCertificate(
  tbs: Uint8Array,
  signatureAlgorithm: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  return new Uint8Array(derSequence(tbs, signatureAlgorithm, derBitString(signature)));
}
