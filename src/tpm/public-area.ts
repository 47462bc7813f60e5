import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { concatBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { attempt } from '../der/refuse.ts';
import {
  hashOfAlgorithm,
  TPM_ALG,
  TPM_ATTRIBUTE,
  TPM_CURVES,
  type TpmCurve,
  type TpmHash,
} from './algorithms.ts';
import { TpmReader } from './tpm-reader.ts';
import { tpmU16, tpmU32 } from './tpm-writer.ts';

/** TPM_RH_ENDORSEMENT (TPM 2.0 Part 2, §7.4). */
const ENDORSEMENT_HIERARCHY = 0x4000_000b;

/** How a key signs or encrypts; `hash` is undefined where the scheme leaves it open. */
export interface TpmScheme {
  readonly algorithm: number;
  readonly hash: TpmHash | undefined;
}

/** Key numbers of a public area. */
export type TpmKeyNumbers =
  | {
      readonly kind: 'rsa';
      readonly bits: number;
      readonly exponent: number;
      readonly modulus: Uint8Array;
    }
  | {
      readonly kind: 'ecc';
      readonly curve: TpmCurve;
      readonly x: Uint8Array;
      readonly y: Uint8Array;
    };

/** A TPMT_PUBLIC (TPM 2.0 Part 2, §12.2.4): what a TPM says of a key. */
export interface TpmPublic {
  /** As it came; its hash is the key's name. */
  readonly bytes: Uint8Array;
  readonly nameHash: TpmHash;
  readonly attributes: number;
  readonly authPolicy: Uint8Array;
  /** AES key size in bits of what the key encrypts with; undefined for keys that only sign. */
  readonly symmetricBits: number | undefined;
  readonly scheme: TpmScheme;
  readonly key: TpmKeyNumbers;
}

/** Reads a TPMT_PUBLIC of an RSA or ECC key, to its last byte. Fails with TPM_STRUCTURE. */
export function parseTpmPublic(bytes: Uint8Array): Result<TpmPublic> {
  return attempt('TPM public area', () => {
    const reader = new TpmReader(bytes, 'public area');
    const type = reader.u16();
    const nameHash = hashOfAlgorithm(reader.u16()) ?? reader.refuse('name algorithm is not taken');
    const attributes = reader.u32();
    const authPolicy = reader.sized(64);
    if (type !== TPM_ALG.rsa && type !== TPM_ALG.ecc) reader.refuse('key is neither RSA nor ECC');
    const symmetricBits = readSymmetric(reader);
    const scheme = readScheme(reader);
    const key = type === TPM_ALG.rsa ? readRsa(reader) : readEcc(reader);
    reader.finish();
    const copy = Buffer.from(bytes);
    return { bytes: copy, nameHash, attributes, authPolicy, symmetricBits, scheme, key };
  });
}

/** Name of a key (TPM 2.0 Part 1, §16): what a TPM certifies and encrypts for. */
export function tpmName({ bytes, nameHash }: TpmPublic): Uint8Array {
  const digest = createHash(nameHash).update(bytes).digest();
  return concatBytes([tpmU16(TPM_ALG[nameHash]), digest]);
}

/**
 * Qualified name of a key that is a primary one of the endorsement hierarchy (TPM 2.0 Part 1, §26.5): the
 * hash of the hierarchy's handle and its name.
 */
export function endorsementPrimaryName(area: TpmPublic): Uint8Array {
  const digest = createHash(area.nameHash)
    .update(tpmU32(ENDORSEMENT_HIERARCHY))
    .update(tpmName(area))
    .digest();
  return concatBytes([tpmU16(TPM_ALG[area.nameHash]), digest]);
}

/** The key as Node.js takes it. Fails with TPM_STRUCTURE where its numbers are no key. */
export function tpmKeyObject({ key }: Pick<TpmPublic, 'key'>): Result<KeyObject> {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
  const jwk =
    key.kind === 'rsa'
      ? { kty: 'RSA', n: text(key.modulus), e: text(exponentBytes(key.exponent)) }
      : { kty: 'EC', crv: key.curve.name, x: text(key.x), y: text(key.y) };
  try {
    return ok(createPublicKey({ key: jwk, format: 'jwk' }));
  } catch (cause) {
    return fail('TPM_STRUCTURE', 'public area: its numbers are no key', { cause });
  }
}

/** Whether the key was made in its TPM and can never leave it. */
export function staysInTpm({ attributes }: TpmPublic): boolean {
  const { fixedTpm, fixedParent, sensitiveDataOrigin } = TPM_ATTRIBUTE;
  return has(attributes, fixedTpm | fixedParent | sensitiveDataOrigin);
}

/**
 * Whether the key signs only what its TPM made itself: what such a key signed in a TPM's form is a TPM's
 * word (TPM 2.0 Part 1, restricted signing keys).
 */
export function isAttestationKey(area: TpmPublic): boolean {
  const { restricted, sign, decrypt } = TPM_ATTRIBUTE;
  return (
    staysInTpm(area) &&
    has(area.attributes, restricted | sign) &&
    !has(area.attributes, decrypt) &&
    area.scheme.hash !== undefined
  );
}

/** Whether the key can be an endorsement key: it decrypts for its TPM alone and signs nothing. */
export function isEndorsementKey(area: TpmPublic): boolean {
  const { restricted, sign, decrypt } = TPM_ATTRIBUTE;
  return (
    staysInTpm(area) &&
    has(area.attributes, restricted | decrypt) &&
    !has(area.attributes, sign) &&
    area.symmetricBits !== undefined
  );
}

function has(attributes: number, wanted: number): boolean {
  return (attributes & wanted) === wanted;
}

/** TPMT_SYM_DEF_OBJECT: AES in CFB mode, or none. */
function readSymmetric(reader: TpmReader): number | undefined {
  const algorithm = reader.u16();
  if (algorithm === TPM_ALG.null) return undefined;
  const bits = reader.u16();
  const mode = reader.u16();
  const taken = algorithm === TPM_ALG.aes && mode === TPM_ALG.cfb && (bits === 128 || bits === 256);
  return taken ? bits : reader.refuse('symmetric algorithm is not taken');
}

const SCHEMES: readonly number[] = [
  TPM_ALG.rsassa,
  TPM_ALG.rsapss,
  TPM_ALG.oaep,
  TPM_ALG.ecdsa,
  TPM_ALG.ecdh,
];

function readScheme(reader: TpmReader): TpmScheme {
  const algorithm = reader.u16();
  if (algorithm === TPM_ALG.null) return { algorithm, hash: undefined };
  if (!SCHEMES.includes(algorithm)) reader.refuse('scheme is not taken');
  const hash = hashOfAlgorithm(reader.u16()) ?? reader.refuse("scheme's hash is not taken");
  return { algorithm, hash };
}

function readRsa(reader: TpmReader): TpmKeyNumbers {
  const bits = reader.u16();
  const exponent = reader.u32();
  const modulus = reader.sized(512);
  if (bits < 2048 || bits > 4096 || modulus.length * 8 !== bits || (modulus[0] ?? 0) < 0x80) {
    reader.refuse(`RSA key of ${bits} bits`);
  }
  // 0 stands for the usual exponent (TPM 2.0 Part 2, §12.2.3.5).
  if (exponent !== 0 && exponent !== 65_537) reader.refuse('RSA exponent is not taken');
  return { kind: 'rsa', bits, exponent: 65_537, modulus };
}

function readEcc(reader: TpmReader): TpmKeyNumbers {
  const id = reader.u16();
  const curve = TPM_CURVES.find((known) => known.id === id) ?? reader.refuse('curve is not taken');
  if (reader.u16() !== TPM_ALG.null) reader.u16();
  const [x, y] = [reader.sized(curve.bytes), reader.sized(curve.bytes)];
  return { kind: 'ecc', curve, x: padded(x, curve), y: padded(y, curve) };
}

/** A number in the length of its curve; a TPM may leave leading zeros out. */
function padded(number: Uint8Array, { bytes }: TpmCurve): Uint8Array {
  return concatBytes([new Uint8Array(bytes - number.length), number]);
}

function exponentBytes(exponent: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(exponent);
  return bytes.subarray(bytes.findIndex((byte) => byte !== 0));
}
