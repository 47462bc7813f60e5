import { equalBytes } from '../base/bytes.ts';
import { type Failed, fail, type Result } from '../base/result.ts';
import { readDer } from '../der/reader.ts';
import { TAG } from '../der/tags.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';
import { parseCsr, requestedBasicConstraints } from '../x509/csr.ts';
import { type NameAttribute, readName } from '../x509/name.ts';
import { OID } from '../x509/oids.ts';
import type { Certificate, CertificateRequest } from '../x509/types.ts';
import { provenKey } from './csr-key.ts';

/** What a request is judged against. */
export interface EnrolmentRequestRules {
  readonly blockedKeys: BlockedKeys;
  /** The enrolment root and every authority of ours: no CA of a vendor may pass for one of them. */
  readonly ours: readonly Certificate[];
}

const LOCALITY = '2.5.4.7';
const STATE = '2.5.4.8';
const STREET = '2.5.4.9';
const DOMAIN_COMPONENT = '0.9.2342.19200300.100.1.25';

/** What the subject of a CA is made of (RFC 5280 §4.1.2.4 and what portals write). */
const KNOWN_ATTRIBUTES: readonly string[] = [
  OID.country,
  STATE,
  LOCALITY,
  STREET,
  OID.organization,
  OID.organizationalUnit,
  OID.commonName,
  OID.serialNumber,
  OID.emailAddress,
  DOMAIN_COMPONENT,
];

/** By one of these people know a CA. */
const NAMING: readonly string[] = [OID.organization, OID.commonName];

const TEXT_TAGS: readonly number[] = [TAG.utf8String, TAG.printableString, TAG.ia5String];

const MAX_RDNS = 12;
const MAX_VALUE_BYTES = 255;

/**
 * Judges the request for an enrolment CA as a vendor's portal makes it: its key is proven, allowed, not
 * blocked and none of ours; it asks for no names beside its subject, least of all URIs, and not for a
 * leaf or for CAs below; its subject can be read and is none of ours. Fails with ENROLMENT_CSR and the
 * codes of requests and keys.
 */
export function checkEnrolmentRequest(
  der: Uint8Array,
  { blockedKeys, ours }: EnrolmentRequestRules,
): Result<CertificateRequest> {
  if (der.length === 0) return fail('FIELD_MISSING', 'csr is required');
  const csr = parseCsr(der);
  if (!csr.ok) return csr;
  const key = provenKey(csr.value, blockedKeys);
  if (!key.ok) return key;
  const fault =
    namesFault(csr.value) ?? constraintsFault(csr.value) ?? subjectFault(csr.value.subjectDer);
  if (fault !== undefined) return fault;
  const { subjectDer, publicKey } = csr.value;
  if (ours.some((known) => equalBytes(known.publicKey.spki, publicKey.spki))) {
    return refused('its key is that of an authority of this server');
  }
  if (ours.some((known) => equalBytes(known.subjectDer, subjectDer))) {
    return refused('its subject is that of an authority of this server');
  }
  return csr;
}

function namesFault({ requestedNames }: CertificateRequest): Failed | undefined {
  const [first] = requestedNames;
  if (first === undefined) return undefined;
  return refused(`it asks for an alternative name (${first.kind}); an enrolment CA has none`);
}

function constraintsFault(csr: CertificateRequest): Failed | undefined {
  const constraints = requestedBasicConstraints(csr);
  if (!constraints.ok) return constraints;
  if (constraints.value === undefined) return undefined;
  const { ca, pathLength = 0 } = constraints.value;
  if (!ca) return refused('it asks for a certificate that is no CA');
  return pathLength === 0 ? undefined : refused(`it asks for ${pathLength} CAs below`);
}

function subjectFault(subjectDer: Uint8Array): Failed | undefined {
  const read = readDer('subject', subjectDer, (cursor) => readName(cursor, 'subject'));
  if (!read.ok) return read;
  const attributes = read.value.flat();
  if (attributes.length > MAX_RDNS) return refused(`its subject has over ${MAX_RDNS} parts`);
  const odd = attributes.find((attribute) => !isPlain(attribute));
  if (odd !== undefined) return refused(`its subject has a part (${odd.oid}) that is not taken`);
  if (attributes.some(({ oid }) => NAMING.includes(oid))) return undefined;
  return refused('its subject names neither an organization nor a common name');
}

/** Text of a known kind: no control characters, nothing that could be taken for an identity. */
function isPlain({ oid, tag, value }: NameAttribute): boolean {
  if (!KNOWN_ATTRIBUTES.includes(oid) || !TEXT_TAGS.includes(tag)) return false;
  if (value.length === 0 || value.length > MAX_VALUE_BYTES) return false;
  const text = Buffer.from(value).toString('utf8');
  const isUtf8 = equalBytes(Buffer.from(text, 'utf8'), value);
  return isUtf8 && /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text) && !/spiffe:/i.test(text);
}

function refused(why: string): Failed {
  return fail('ENROLMENT_CSR', `the request cannot be signed: ${why}`);
}
