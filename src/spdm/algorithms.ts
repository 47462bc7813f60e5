import type { KeyObject } from 'node:crypto';

/** Hashes that may be used, by the names of Node's crypto. */
export type SpdmHash = 'sha256' | 'sha384' | 'sha512';

/** Keys that may sign, by the names of the X.509 code. */
export type SpdmCurve = 'ec-p256' | 'ec-p384' | 'ec-p521';

/** Digest lengths in bytes. */
export const HASH_BYTES: Readonly<Record<SpdmHash, number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** Signature lengths in bytes: r and s, each as long as the field, big-endian. */
export const SIGNATURE_BYTES: Readonly<Record<SpdmCurve, number>> = {
  'ec-p256': 64,
  'ec-p384': 96,
  'ec-p521': 132,
};

/** Bits of BaseAsymAlgo. */
export const ASYM_BIT: Readonly<Record<SpdmCurve, number>> = {
  'ec-p256': 0x10,
  'ec-p384': 0x80,
  'ec-p521': 0x100,
};

/** Bits of BaseHashAlgo. */
export const HASH_BIT: Readonly<Record<SpdmHash, number>> = { sha256: 1, sha384: 2, sha512: 4 };

/** Bits of MeasurementHashAlgo; bit 0 means raw bit streams only. */
export const MEASUREMENT_HASH_BIT: Readonly<Record<SpdmHash, number>> = {
  sha256: 2,
  sha384: 4,
  sha512: 8,
};

/** All curves. */
export const SPDM_CURVES: readonly SpdmCurve[] = ['ec-p256', 'ec-p384', 'ec-p521'];

/** All hashes. */
export const SPDM_HASHES: readonly SpdmHash[] = ['sha256', 'sha384', 'sha512'];

const NAMED_CURVES: ReadonlyMap<string, SpdmCurve> = new Map([
  ['prime256v1', 'ec-p256'],
  ['secp384r1', 'ec-p384'],
  ['secp521r1', 'ec-p521'],
]);

/** The curve of a key; nothing for what SPDM may not sign with here. */
export function curveOfKey(key: KeyObject): SpdmCurve | undefined {
  if (key.asymmetricKeyType !== 'ec') return undefined;
  return NAMED_CURVES.get(key.asymmetricKeyDetails?.namedCurve ?? '');
}
