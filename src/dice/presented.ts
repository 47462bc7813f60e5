import { hash } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { parseSignatureAlgorithm } from '../x509/signature.ts';
import type { Certificate } from '../x509/types.ts';
import type { DeviceClass, DeviceKeyType } from './device-class.ts';

/** Most certificates of a chain, the root included. */
export const MAX_DEVICE_CERTIFICATES = 8;

/** Longest chain in bytes. */
export const MAX_DEVICE_CHAIN_BYTES = 16_384;

/** A certificate with the fingerprint that pins name. */
export interface PresentedCertificate {
  readonly certificate: Certificate;
  /** SHA-256 of the DER, lower-case hex. */
  readonly sha256: string;
}

/** What was presented, in the order it came. */
export interface PresentedChain {
  readonly all: readonly PresentedCertificate[];
  /** The one that is no CA. */
  readonly leaf: PresentedCertificate;
  /** Roots that the class pins: those presented, else those that may be left out. */
  readonly roots: readonly PresentedCertificate[];
}

/**
 * Reads the certificates of a device and checks everything that needs no signature, cheapest first:
 * number and size, copies, form, kinds of key, algorithms, one leaf, a pinned root, a pinned class.
 * Errors: DEVICE_*, those of `parseCertificate`, SIGNATURE_ALGORITHM*.
 */
export function readPresented(
  certificates: readonly Uint8Array[],
  deviceClass: DeviceClass,
): Result<PresentedChain> {
  const sized = checkSize(certificates);
  if (!sized.ok) return sized;
  const all: PresentedCertificate[] = [];
  for (const der of certificates) {
    const read = readOne(der);
    if (!read.ok) return read;
    if (all.some(({ sha256 }) => sha256 === read.value.sha256)) {
      return fail('DEVICE_CHAIN_DUPLICATE', 'device chain: a certificate stands twice');
    }
    all.push(read.value);
  }
  return judge(all, deviceClass);
}

function readOne(der: Uint8Array): Result<PresentedCertificate> {
  const parsed = parseCertificate(der);
  if (!parsed.ok) return parsed;
  return ok({ certificate: parsed.value, sha256: hash('sha256', parsed.value.der, 'hex') });
}

function checkSize(certificates: readonly Uint8Array[]): Result<void> {
  const count = certificates.length;
  if (count === 0) return fail('DEVICE_CHAIN_EMPTY', 'device chain: no certificate');
  if (count > MAX_DEVICE_CERTIFICATES) {
    const limit = `limit ${MAX_DEVICE_CERTIFICATES}`;
    return fail('DEVICE_CHAIN_TOO_LARGE', `device chain: ${count} certificates, ${limit}`);
  }
  const bytes = certificates.reduce((sum, { length }) => sum + length, 0);
  if (bytes > MAX_DEVICE_CHAIN_BYTES) {
    const limit = `limit ${MAX_DEVICE_CHAIN_BYTES}`;
    return fail('DEVICE_CHAIN_TOO_LARGE', `device chain: ${bytes} bytes, ${limit}`);
  }
  return ok(undefined);
}

function judge(
  all: readonly PresentedCertificate[],
  deviceClass: DeviceClass,
): Result<PresentedChain> {
  const { name, classCas, keyTypes } = deviceClass;
  const pinned = pinnedRoots(all, deviceClass);
  if (!pinned.ok) return pinned;
  for (const { certificate } of new Set([...all, ...pinned.value])) {
    const strong = checkStrength(certificate, keyTypes);
    if (!strong.ok) return strong;
  }
  const [leaf, ...others] = all.filter(({ certificate }) => !isCa(certificate));
  if (leaf === undefined || others.length > 0) {
    const count = leaf === undefined ? 'none' : 'more than one';
    return fail('DEVICE_CHAIN_LEAF', `device chain: ${count} of its certificates is no CA`);
  }
  if (pinned.value.length === 0) {
    return fail('DEVICE_ROOT', `device chain: no root of the class "${name}" in it`);
  }
  // Said again of its place in the path once there is one; here it spares the signatures.
  if (!all.some(({ sha256 }) => classCas.includes(sha256))) {
    return fail('DEVICE_CLASS', `device chain: no CA of the class "${name}" in it`);
  }
  return ok({ all, leaf, roots: pinned.value });
}

function pinnedRoots(
  all: readonly PresentedCertificate[],
  { roots, anchors = [] }: DeviceClass,
): Result<readonly PresentedCertificate[]> {
  const isPinned = ({ sha256 }: PresentedCertificate): boolean => roots.includes(sha256);
  const presented = all.filter(isPinned);
  if (presented.length > 0) return ok(presented);
  const known: PresentedCertificate[] = [];
  for (const der of anchors) {
    const read = readOne(der);
    if (!read.ok) return read;
    known.push(read.value);
  }
  return ok(known.filter(isPinned));
}

function isCa({ basicConstraints }: Certificate): boolean {
  return basicConstraints?.ca === true;
}

/** Roots too: a root's signature is not relied on, but nobody should pin one of the broken kinds. */
function checkStrength(certificate: Certificate, allowed: readonly DeviceKeyType[]): Result<void> {
  const { serialDecimal, publicKey, signatureAlgorithm } = certificate;
  if (!allowed.some((type) => type === publicKey.type)) {
    const what = `certificate ${serialDecimal}: key of type ${publicKey.type}`;
    return fail('DEVICE_KEY_TYPE', `device chain: ${what}, allowed are ${allowed.join(', ')}`);
  }
  const scheme = parseSignatureAlgorithm(signatureAlgorithm);
  return scheme.ok ? ok(undefined) : scheme;
}
