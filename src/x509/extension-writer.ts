import { contextConstructed, contextPrimitive } from '../der/tags.ts';
import {
  derAscii,
  derBoolean,
  derElement,
  derNamedBits,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
} from '../der/writer.ts';
import { GENERAL_NAME_TAG } from './general-name.ts';
import { OID } from './oids.ts';

/** Numbers of the Key Usage bits (RFC 5280 §4.2.1.3). */
export const KEY_USAGE_BIT = {
  digitalSignature: 0,
  contentCommitment: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  crlSign: 6,
  encipherOnly: 7,
  decipherOnly: 8,
} as const;

/** Name of a Key Usage bit. */
export type KeyUsageBit = keyof typeof KEY_USAGE_BIT;

/** Object identifiers that every leaf needs, encoded once. */
const SUBJECT_KEY_ID_OID = derOid(OID.subjectKeyId);
const SUBJECT_ALT_NAME_OID = derOid(OID.subjectAltName);

/** An Extension (RFC 5280 §4.1); FALSE is the default and not written. */
export function derExtension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  const octets = derOctetString(value);
  return critical
    ? derSequence(derOid(oid), derBoolean(true), octets)
    : derSequence(derOid(oid), octets);
}

/** Key Usage, critical (X509-8). */
export function keyUsageExtension(bits: readonly KeyUsageBit[]): Uint8Array {
  const value = derNamedBits(bits.map((bit) => KEY_USAGE_BIT[bit]));
  return derExtension(OID.keyUsage, true, value);
}

/** Extended Key Usage, not critical. */
export function extendedKeyUsageExtension(oids: readonly string[]): Uint8Array {
  return derExtension(OID.extendedKeyUsage, false, derSequence(...oids.map(derOid)));
}

/** Basic Constraints, critical; an empty SEQUENCE says that it is no CA (X509-7). */
export function basicConstraintsExtension(ca: boolean, pathLength?: number): Uint8Array {
  const fields = ca ? [derBoolean(true)] : [];
  if (pathLength !== undefined) fields.push(derNumber(pathLength));
  return derExtension(OID.basicConstraints, true, derSequence(...fields));
}

/** Subject Key Identifier. */
export function subjectKeyIdExtension(keyId: Uint8Array): Uint8Array {
  return derSequence(SUBJECT_KEY_ID_OID, derOctetString(derOctetString(keyId)));
}

/** Authority Key Identifier with the key identifier only. */
export function authorityKeyIdExtension(keyId: Uint8Array): Uint8Array {
  const value = derSequence(derElement(contextPrimitive(0), keyId));
  return derExtension(OID.authorityKeyId, false, value);
}

/** Subject Alternative Name: one URI, then DNS names in order; not critical, the subject has a name. */
export function subjectAltNameExtension(uri: string, dnsNames: readonly string[]): Uint8Array {
  const names = [derAscii(GENERAL_NAME_TAG.uri, uri)];
  for (const name of dnsNames) names.push(derAscii(GENERAL_NAME_TAG.dns, name));
  return derSequence(SUBJECT_ALT_NAME_OID, derOctetString(derSequence(...names)));
}

/**
 * Value of CRL Distribution Points (RFC 5280 §4.2.1.13): one CRL, where it is fetched, and who signs
 * it, since that is not the issuer of the certificate.
 *
 * @param crlIssuerDer Name DER that the CRL has as its issuer.
 */
export function crlDistributionPoints(
  urls: readonly string[],
  crlIssuerDer: Uint8Array,
): Uint8Array {
  const names = urls.map((url) => derAscii(GENERAL_NAME_TAG.uri, url));
  const fullName = derElement(contextConstructed(0), ...names);
  const issuer = derElement(GENERAL_NAME_TAG.directory, crlIssuerDer);
  return derSequence(
    derSequence(
      derElement(contextConstructed(0), fullName),
      derElement(contextConstructed(2), issuer),
    ),
  );
}

/**
 * Value of Name Constraints that permits URIs of one host and of no other (RFC 5280 §4.2.1.10): without
 * a leading period it stands for that very host, which in a SPIFFE ID is the trust domain. Names of
 * other kinds are not spoken about.
 */
export function permittedUriHost(host: string): Uint8Array {
  const subtree = derSequence(derAscii(GENERAL_NAME_TAG.uri, host));
  return derSequence(derElement(contextConstructed(0), subtree));
}
