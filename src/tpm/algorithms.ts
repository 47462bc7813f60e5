/** Algorithm identifiers (TPM 2.0 Part 2, §6.3). */
export const TPM_ALG = {
  rsa: 0x0001,
  aes: 0x0006,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  null: 0x0010,
  rsassa: 0x0014,
  rsapss: 0x0016,
  oaep: 0x0017,
  ecdsa: 0x0018,
  ecdh: 0x0019,
  ecc: 0x0023,
  cfb: 0x0043,
} as const;

/** Object attributes (TPM 2.0 Part 2, §8.3). */
export const TPM_ATTRIBUTE = {
  fixedTpm: 0x0000_0002,
  fixedParent: 0x0000_0010,
  sensitiveDataOrigin: 0x0000_0020,
  userWithAuth: 0x0000_0040,
  adminWithPolicy: 0x0000_0080,
  noDictionaryAttack: 0x0000_0400,
  restricted: 0x0001_0000,
  decrypt: 0x0002_0000,
  sign: 0x0004_0000,
} as const;

/** Hashes that are taken; SHA-1 is not. */
export type TpmHash = 'sha256' | 'sha384' | 'sha512';

const HASHES: ReadonlyMap<number, TpmHash> = new Map([
  [TPM_ALG.sha256, 'sha256'],
  [TPM_ALG.sha384, 'sha384'],
  [TPM_ALG.sha512, 'sha512'],
]);

/** Size of a digest in bytes. */
export const TPM_DIGEST_BYTES: Readonly<Record<TpmHash, number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** Hash of an identifier; undefined where it is not taken. */
export function hashOfAlgorithm(algorithm: number): TpmHash | undefined {
  return HASHES.get(algorithm);
}

/** Identifier of a hash. */
export function algorithmOfHash(hash: TpmHash): number {
  return TPM_ALG[hash];
}

/** A curve: JWK name and size of a number in bytes. */
export interface TpmCurve {
  readonly id: number;
  readonly name: 'P-256' | 'P-384';
  readonly bytes: number;
}

/** Curves that are taken (TPM 2.0 Part 2, §6.4). */
export const TPM_CURVES: readonly TpmCurve[] = [
  { id: 0x0003, name: 'P-256', bytes: 32 },
  { id: 0x0004, name: 'P-384', bytes: 48 },
];
