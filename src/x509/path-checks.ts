import { equalBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import { isEmptyName } from './name.ts';
import { isDnsName } from './name-match.ts';
import { OID } from './oids.ts';
import { verifySignature } from './signature.ts';
import type { SignatureMemo } from './signature-memo.ts';
import type { Certificate, Extension, PublicKey } from './types.ts';

/** Smallest RSA modulus in a path, in bits; every modulus fills whole octets. */
const MIN_RSA_BITS = 2048;

/** Critical extensions that this validator honours (RFC 5280 §4.2). */
const HONOURED: ReadonlySet<string> = new Set([
  OID.keyUsage,
  OID.basicConstraints,
  OID.subjectAltName,
  OID.extendedKeyUsage,
  OID.nameConstraints,
]);

/** Extensions that must be critical, else a validator that ignores them trusts too much. */
const MUST_BE_CRITICAL: ReadonlySet<string> = new Set([
  OID.nameConstraints,
  OID.policyConstraints,
  OID.inhibitAnyPolicy,
]);

/** Extensions that must not be critical (RFC 5280 §4.2.1.1, §4.2.1.2). */
const MUST_NOT_BE_CRITICAL: ReadonlySet<string> = new Set([OID.authorityKeyId, OID.subjectKeyId]);

/** Whether issuer and subject are the same name (RFC 5280 §3.2). */
export function isSelfIssued(certificate: Certificate): boolean {
  return equalBytes(certificate.issuerDer, certificate.subjectDer);
}

/** Names a certificate in a message: by its serial number, which says nothing secret. */
function labelOf(certificate: Certificate): string {
  return `certificate ${certificate.serialDecimal}`;
}

function checkExtension(
  certificate: Certificate,
  extension: Extension,
  alsoHonoured: ReadonlySet<string> | undefined,
): void {
  const { oid, critical } = extension;
  const what = `${labelOf(certificate)}: extension ${oid}`;
  if (critical && MUST_NOT_BE_CRITICAL.has(oid)) {
    refuse('PATH_EXTENSION', `${what} is critical`);
  }
  if (!critical && MUST_BE_CRITICAL.has(oid)) {
    refuse('PATH_EXTENSION', `${what} is not critical`);
  }
  if (critical && !HONOURED.has(oid) && alsoHonoured?.has(oid) !== true) {
    refuse('PATH_CRITICAL_EXTENSION', `${what} is critical and not understood`);
  }
}

/** Key strength: EC curves and Ed25519 as they are, RSA from 2048 bits in whole octets. */
function checkKey(certificate: Certificate): void {
  const { type, bits }: PublicKey = certificate.publicKey;
  const isWeakRsa = type === 'rsa' && (bits < MIN_RSA_BITS || bits % 8 !== 0);
  if (type === 'unknown' || isWeakRsa) {
    refuse('PATH_KEY', `${labelOf(certificate)}: key of type ${type} with ${bits} bits`);
  }
}

/** Validity, both ends included, in whole seconds (RFC 5280 §4.1.2.5). */
function checkValidity(certificate: Certificate, atMs: number): void {
  const { notBeforeMs, notAfterMs } = certificate;
  const now = new Date(atMs).toISOString();
  if (atMs < notBeforeMs) {
    const from = new Date(notBeforeMs).toISOString();
    refuse('PATH_NOT_YET_VALID', `${labelOf(certificate)}: valid from ${from}, now is ${now}`);
  }
  if (Math.floor(atMs / 1000) * 1000 > notAfterMs) {
    const until = new Date(notAfterMs).toISOString();
    refuse('PATH_EXPIRED', `${labelOf(certificate)}: valid until ${until}, now is ${now}`);
  }
}

/** A certificate that is no CA claims none of a CA's rights (RFC 5280 §4.2.1.3, §4.2.1.10). */
function checkNoCaRights(certificate: Certificate): void {
  if (certificate.basicConstraints?.ca === true) return;
  if (certificate.keyUsage?.keyCertSign === true) {
    refuse('PATH_EXTENSION', `${labelOf(certificate)}: keyCertSign, but not a CA`);
  }
  if (certificate.extensions.some(({ oid }) => oid === OID.nameConstraints)) {
    refuse('PATH_EXTENSION', `${labelOf(certificate)}: name constraints, but not a CA`);
  }
}

/**
 * Names and identifiers that RFC 5280 demands (§4.1.2.4, §4.2.1.1, §4.2.1.6). An issuer without a name
 * shows as the empty issuer of what it signed.
 */
function checkNames(certificate: Certificate, isRoot: boolean): void {
  const { issuerDer, subjectDer, subjectAltName, authorityKeyId } = certificate;
  if (isEmptyName(issuerDer)) {
    refuse('PATH_EXTENSION', `${labelOf(certificate)}: empty issuer name`);
  }
  if (isEmptyName(subjectDer) && subjectAltName?.critical !== true) {
    refuse('PATH_EXTENSION', `${labelOf(certificate)}: empty subject without critical SAN`);
  }
  const needsAuthorityKeyId = !isRoot || !isSelfIssued(certificate);
  if (needsAuthorityKeyId && authorityKeyId === undefined) {
    refuse('PATH_EXTENSION', `${labelOf(certificate)}: no authority key identifier`);
  }
}

/** DNS names in the syntax that RFC 5280 §4.2.1.6 demands: what reads them must not have to guess. */
function checkDnsNames(certificate: Certificate): void {
  for (const name of certificate.subjectAltName?.names ?? []) {
    if (name.kind === 'dns' && !isDnsName(name.text)) {
      refuse('PATH_EXTENSION', `${labelOf(certificate)}: "${name.text}" is not a DNS name`);
    }
  }
}

/** What the checks of one certificate depend on besides its place. */
export interface CheckContext {
  /** Unix milliseconds that validity is judged at. */
  readonly atMs: number;
  /** Critical extensions (OIDs) that the caller judges itself. */
  readonly alsoHonoured?: ReadonlySet<string>;
}

/** What every certificate of a path must be, whatever its place. Stops with `refuse`. */
export function checkAnywhere(
  certificate: Certificate,
  { atMs, alsoHonoured }: CheckContext,
  isRoot: boolean,
): void {
  checkValidity(certificate, atMs);
  checkKey(certificate);
  for (const extension of certificate.extensions) {
    checkExtension(certificate, extension, alsoHonoured);
  }
  checkNoCaRights(certificate);
  checkNames(certificate, isRoot);
  checkDnsNames(certificate);
}

/**
 * What an issuer must be (RFC 5280 §6.1.4 k to n, §4.2.1.2, §4.2.1.9). Stops with `refuse`.
 *
 * @param intermediatesBelow Certificates between it and the leaf, self-issued ones not counted.
 */
export function checkIssuer(issuer: Certificate, intermediatesBelow: number): void {
  const { basicConstraints, keyUsage, subjectKeyId } = issuer;
  if (basicConstraints?.ca !== true) refuse('PATH_NOT_CA', `${labelOf(issuer)}: not a CA`);
  if (!basicConstraints.critical) {
    refuse('PATH_EXTENSION', `${labelOf(issuer)}: basic constraints are not critical`);
  }
  if (keyUsage !== undefined && !keyUsage.keyCertSign) {
    refuse('PATH_KEY_USAGE', `${labelOf(issuer)}: key usage without keyCertSign`);
  }
  const { pathLength } = basicConstraints;
  if (pathLength !== undefined && intermediatesBelow > pathLength) {
    refuse(
      'PATH_LENGTH',
      `${labelOf(issuer)}: path length ${pathLength}, ${intermediatesBelow} below`,
    );
  }
  if (subjectKeyId === undefined) {
    refuse('PATH_EXTENSION', `${labelOf(issuer)}: CA without subject key identifier`);
  }
}

/** The demanded usage must be allowed by the leaf and by every intermediate that names usages. */
export function checkExtendedKeyUsage(path: readonly Certificate[], usage: string): void {
  for (const certificate of path.slice(0, -1)) {
    const usages = certificate.extendedKeyUsage;
    if (
      usages === undefined ||
      usages.includes(usage) ||
      usages.includes(OID.anyExtendedKeyUsage)
    ) {
      continue;
    }
    refuse('PATH_EXTENDED_KEY_USAGE', `${labelOf(certificate)}: does not allow ${usage}`);
  }
}

/** The certificate's signature under its issuer's key, unless it is known. Stops with `refuse`. */
export function checkSignature(
  certificate: Certificate,
  issuer: Certificate,
  known?: SignatureMemo,
): void {
  if (known?.has(certificate, issuer) === true) return;
  const { signatureAlgorithm, tbs, signature } = certificate;
  const verified = verifySignature(issuer.publicKey, signatureAlgorithm, tbs, signature);
  if (verified.ok) return;
  const isWeak = verified.error.code === 'SIGNATURE_ALGORITHM_WEAK';
  refuse(
    isWeak ? 'PATH_SIGNATURE_WEAK' : 'PATH_SIGNATURE',
    `${labelOf(certificate)} under ${labelOf(issuer)}: ${verified.error.message}`,
  );
}
