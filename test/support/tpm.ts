import {
  constants,
  createDecipheriv,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  sign,
} from 'node:crypto';
import { concatBytes } from '../../src/base/bytes.ts';
import { TPM_ALG, TPM_ATTRIBUTE } from '../../src/tpm/algorithms.ts';
import type { TpmClock } from '../../src/tpm/attest.ts';
import type { TpmCredential } from '../../src/tpm/make-credential.ts';
import { tpmSized, tpmU8, tpmU16, tpmU32 } from '../../src/tpm/tpm-writer.ts';
import type { SignedAttest } from '../../src/tpm/verify.ts';

const { fixedTpm, fixedParent, sensitiveDataOrigin, restricted, decrypt } = TPM_ATTRIBUTE;
const LOCAL = fixedTpm | fixedParent | sensitiveDataOrigin;

/** Attributes of a default endorsement key. */
export const EK_ATTRIBUTES = LOCAL | TPM_ATTRIBUTE.adminWithPolicy | restricted | decrypt;

/** Attributes of an attestation key. */
export const AK_ATTRIBUTES = LOCAL | TPM_ATTRIBUTE.userWithAuth | restricted | TPM_ATTRIBUTE.sign;

/** What the certificate of an RSA endorsement key says that it is for. */
export const EK_PURPOSE = {
  keyUsage: ['keyEncipherment'],
  extendedKeyUsage: ['2.23.133.8.1'],
} as const;

/** A key of a pretended TPM: what no real one would let out. */
export interface PretendedKey {
  readonly privateKey: KeyObject;
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
}

/** An RSA 2048 endorsement key. */
export function pretendEk(attributes: number = EK_ATTRIBUTES): PretendedKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const modulus = Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url');
  const publicArea = concatBytes([
    ...[
      tpmU16(TPM_ALG.rsa),
      tpmU16(TPM_ALG.sha256),
      tpmU32(attributes),
      tpmSized(Buffer.alloc(32)),
    ],
    ...[tpmU16(TPM_ALG.aes), tpmU16(128), tpmU16(TPM_ALG.cfb), tpmU16(TPM_ALG.null)],
    ...[tpmU16(2048), tpmU32(0), tpmSized(modulus)],
  ]);
  return { privateKey, publicArea };
}

/** A P-256 attestation key. */
export function pretendAk(attributes: number = AK_ATTRIBUTES): PretendedKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const publicArea = concatBytes([
    ...[tpmU16(TPM_ALG.ecc), tpmU16(TPM_ALG.sha256), tpmU32(attributes), tpmSized()],
    ...[tpmU16(TPM_ALG.null), tpmU16(TPM_ALG.ecdsa), tpmU16(TPM_ALG.sha256)],
    ...[tpmU16(3), tpmU16(TPM_ALG.null)],
    ...[x, y].map((number) => tpmSized(Buffer.from(number, 'base64url'))),
  ]);
  return { privateKey, publicArea };
}

/** What a quote may say in place of the truth. */
export interface PretendedQuote {
  readonly nonce: Uint8Array;
  readonly indices: readonly number[];
  readonly values: readonly Uint8Array[];
  readonly magic?: number;
  readonly type?: number;
  readonly bank?: number;
  readonly more?: Uint8Array;
  /** Handle of the hierarchy that the key says it is in; the endorsement hierarchy unless told. */
  readonly hierarchy?: number;
  readonly clock?: Partial<TpmClock>;
}

/** A quote of a key. */
export function pretendQuote(key: PretendedKey, quote: PretendedQuote): SignedAttest {
  const bitmap = Buffer.alloc(3);
  for (const index of quote.indices)
    bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7));
  const digest = createHash('sha256').update(concatBytes(quote.values)).digest();
  const { clock = 0n, resetCount = 3, restartCount = 1, safe = true } = quote.clock ?? {};
  const attest = concatBytes([
    ...[
      tpmU32(quote.magic ?? 0xff544347),
      tpmU16(quote.type ?? 0x8018),
      tpmSized(qualifiedName(key, quote.hierarchy ?? 0x4000_000b)),
    ],
    ...[tpmSized(quote.nonce), tpmU64(clock), tpmU32(resetCount), tpmU32(restartCount)],
    ...[tpmU8(safe ? 1 : 0), Buffer.alloc(8)],
    ...[tpmU32(1), tpmU16(quote.bank ?? TPM_ALG.sha256), tpmU8(3), bitmap, tpmSized(digest)],
    quote.more ?? new Uint8Array(0),
  ]);
  return { attest, signature: pretendSignature(key, attest) };
}

/** Name of a primary key of a hierarchy, with where it is. */
function qualifiedName({ publicArea }: PretendedKey, hierarchy: number): Uint8Array {
  const name = concatBytes([tpmU16(TPM_ALG.sha256), sha256(publicArea)]);
  return concatBytes([tpmU16(TPM_ALG.sha256), sha256(concatBytes([tpmU32(hierarchy), name]))]);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

function tpmU64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A certification of a key's name. */
export function pretendCertify(key: PretendedKey, name: Uint8Array): SignedAttest {
  const attest = concatBytes([
    ...[tpmU32(0xff544347), tpmU16(0x8017), tpmSized(Buffer.alloc(34)), tpmSized()],
    ...[Buffer.alloc(8), tpmU32(3), tpmU32(1), tpmU8(1), Buffer.alloc(8)],
    ...[tpmSized(name), tpmSized(Buffer.alloc(34))],
  ]);
  return { attest, signature: pretendSignature(key, attest) };
}

/** TPMT_SIGNATURE by ECDSA. */
export function pretendSignature({ privateKey }: PretendedKey, message: Uint8Array): Uint8Array {
  const both = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return concatBytes([
    ...[tpmU16(TPM_ALG.ecdsa), tpmU16(TPM_ALG.sha256)],
    ...[tpmSized(both.subarray(0, 32)), tpmSized(both.subarray(32))],
  ]);
}

/** ActivateCredential with the key in hand; undefined where the integrity check fails. */
export function openCredential(
  { privateKey }: PretendedKey,
  name: Uint8Array,
  { credential, encryptedSeed }: TpmCredential,
): Buffer | undefined {
  const seed = privateDecrypt(
    {
      key: privateKey,
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha256',
      oaepLabel: Buffer.from('IDENTITY\0'),
    },
    encryptedSeed,
  );
  const derive = (label: string, context: Uint8Array, bits: number): Buffer =>
    createHmac('sha256', seed)
      .update(concatBytes([tpmU32(1), Buffer.from(`${label}\0`), context, tpmU32(bits)]))
      .digest()
      .subarray(0, bits / 8);
  const blob = Buffer.from(credential);
  const encrypted = blob.subarray(34);
  const mac = createHmac('sha256', derive('INTEGRITY', Buffer.alloc(0), 256));
  if (!mac.update(encrypted).update(name).digest().equals(blob.subarray(2, 34))) return undefined;
  const key = derive('STORAGE', name, 128);
  const decipher = createDecipheriv('aes-128-cfb', key, Buffer.alloc(16));
  return Buffer.concat([decipher.update(encrypted), decipher.final()]).subarray(2);
}
