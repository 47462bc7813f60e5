import { equalBytes } from '../base/bytes.ts';
import { OID } from '../x509/oids.ts';
import type { Certificate, Extension } from '../x509/types.ts';
import type { Lint } from './lint.ts';

/** The authority that a certificate is to be signed by. */
export interface ExpectedIssuer {
  /** Subject Name DER of its certificate. */
  readonly subjectDer: Uint8Array;
  /** Subject key identifier of its certificate. */
  readonly keyId: Uint8Array;
  /** SubjectPublicKeyInfo DER of the key that will sign. */
  readonly spki: Uint8Array;
  /** AlgorithmIdentifier DER of its signatures. */
  readonly signatureAlgorithm: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Value of the CRL distribution points that leaves are to have; none unless given. */
  readonly crlPoints?: Uint8Array | undefined;
}

/** What any certificate must say that is about to be signed. */
export interface CertificateExpectation {
  /** Big-endian magnitude. */
  readonly serial: Uint8Array;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  /** Of the subject's key, see `subjectKeyId`. */
  readonly keyId: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly issuer: ExpectedIssuer;
}

/** The extension as it stands in the certificate. */
export function extensionOf(certificate: Certificate, oid: string): Extension | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid);
}

/** Whether an extension is there and not critical. */
export function isUncritical(certificate: Certificate, oid: string): boolean {
  return extensionOf(certificate, oid)?.critical === false;
}

/** Whether exactly these extensions are there; that none stands twice the reader saw to. */
export function hasExactly(certificate: Certificate, oids: readonly string[]): boolean {
  const { extensions } = certificate;
  return extensions.length === oids.length && extensions.every(({ oid }) => oids.includes(oid));
}

/** Octets of an AuthorityKeyIdentifier around its key identifier: two tags, two lengths. */
const KEY_ID_WRAPPING = 4;

/** Whether the authority key identifier is this one, and names issuer and serial in no other way. */
export function namesIssuerKey(certificate: Certificate, keyId: Uint8Array): boolean {
  const { authorityKeyId } = certificate;
  const value = extensionOf(certificate, OID.authorityKeyId)?.value;
  return (
    authorityKeyId !== undefined &&
    equalBytes(authorityKeyId, keyId) &&
    value?.length === keyId.length + KEY_ID_WRAPPING
  );
}

const SIGNED_KEYS: readonly string[] = ['ec-p256', 'ec-p384', 'rsa'];

/** Rules for leaves and CAs alike. */
export const CERTIFICATE_LINTS: readonly Lint<CertificateExpectation>[] = [
  {
    id: 'serial',
    rule: 'X509-27, RFC 5280 §4.1.2.2',
    says: 'The serial number is the one that was drawn.',
    holds: ({ serial }, expected) => sameMagnitude(serial, expected.serial),
  },
  {
    id: 'issuer-name',
    rule: 'RFC 5280 §4.1.2.4, §6.1.3 (a)(4)',
    says: 'The issuer is the subject of the authority, byte for byte.',
    holds: ({ issuerDer }, { issuer }) => equalBytes(issuerDer, issuer.subjectDer),
  },
  {
    id: 'not-before',
    rule: 'X509-26, RFC 5280 §4.1.2.5',
    says: 'It begins when it was planned to.',
    holds: ({ notBeforeMs }, expected) => notBeforeMs === expected.notBeforeMs,
  },
  {
    id: 'not-after',
    rule: 'X509-26, RFC 5280 §4.1.2.5',
    says: 'It ends when it was planned to.',
    holds: ({ notAfterMs }, expected) => notAfterMs === expected.notAfterMs,
  },
  {
    id: 'validity-inside-issuer',
    rule: 'X509-26',
    says: 'It neither begins before nor ends after the certificate of the authority.',
    holds: ({ notBeforeMs, notAfterMs }, { issuer }) =>
      notBeforeMs >= issuer.notBeforeMs && notAfterMs <= issuer.notAfterMs,
  },
  {
    id: 'key',
    rule: 'ID-17',
    says: 'The key is the one whose holder proved it, in the same encoding.',
    holds: ({ publicKey }, expected) => equalBytes(publicKey.spki, expected.spki),
  },
  {
    id: 'key-kind',
    rule: 'RFC 3279 §2.3.1, RFC 5480 §2.1',
    says: 'The key is ECDSA P-256, P-384 or RSA with the parameters of its algorithm.',
    holds: ({ publicKey }) => SIGNED_KEYS.includes(publicKey.type),
  },
  {
    id: 'no-unique-ids',
    rule: 'RFC 5280 §4.1.2.8',
    says: 'There are no unique identifiers.',
    holds: ({ hasUniqueIds }) => !hasUniqueIds,
  },
  {
    id: 'subject-key-id',
    rule: 'X509-27, RFC 5280 §4.2.1.2',
    says: 'The subject key identifier is there and that of the key.',
    holds: ({ subjectKeyId }, expected) =>
      subjectKeyId !== undefined && equalBytes(subjectKeyId, expected.keyId),
  },
  {
    id: 'subject-key-id-uncritical',
    rule: 'RFC 5280 §4.2.1.2',
    says: 'The subject key identifier is not critical.',
    holds: (certificate) => isUncritical(certificate, OID.subjectKeyId),
  },
  {
    id: 'key-usage',
    rule: 'X509-8',
    says: 'Key usage is there.',
    holds: ({ keyUsage }) => keyUsage !== undefined,
  },
  {
    id: 'key-usage-critical',
    rule: 'X509-8, RFC 5280 §4.2.1.3',
    says: 'Key usage is critical.',
    holds: ({ keyUsage }) => keyUsage?.critical !== false,
  },
  {
    id: 'basic-constraints',
    rule: 'X509-7, X509-13, RFC 5280 §4.2.1.9',
    says: 'Basic constraints are there, since Python and Rust clients refuse what lacks them.',
    holds: ({ basicConstraints }) => basicConstraints !== undefined,
  },
  {
    id: 'basic-constraints-critical',
    rule: 'RFC 5280 §4.2.1.9',
    says: 'Basic constraints are critical.',
    holds: ({ basicConstraints }) => basicConstraints?.critical !== false,
  },
];

/** Whether the contents of a DER INTEGER are this magnitude: a zero octet before a high bit aside. */
function sameMagnitude(integer: Uint8Array, magnitude: Uint8Array): boolean {
  return equalBytes(withoutZeros(integer), withoutZeros(magnitude)) && (integer[0] ?? 0x80) < 0x80;
}

function withoutZeros(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (bytes[start] === 0) start += 1;
  return bytes.subarray(start);
}
