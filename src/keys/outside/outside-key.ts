import { constants, createPublicKey, hash, type VerifyKeyObjectInput, verify } from 'node:crypto';
import { fail, ok, type Result } from '../../base/result.ts';
import { readDer } from '../../der/reader.ts';
import { derSequence, derUnsigned } from '../../der/writer.ts';
import type { KeyType, SigningKey, SignOptions } from '../key-manager.ts';
import { publicKeyType } from '../scheme.ts';

/** What is signed outside, and how. */
export interface DigestOrder {
  readonly digest: Uint8Array;
  /** What the digest is of, for managers that hash by themselves. */
  readonly message: Uint8Array;
  readonly options: SignOptions;
}

/** A key whose private part is somewhere else. */
export interface OutsideKeyParts {
  readonly slot: string;
  readonly type: KeyType;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  /** Form in which {@link signDigest} gives ECDSA signatures. */
  readonly ecdsaForm: 'der' | 'p1363';
  /** Has a digest signed by this very key. */
  readonly signDigest: (order: DigestOrder) => Promise<Result<Uint8Array>>;
}

/** Bytes of one number of an ECDSA signature. */
const SCALAR_BYTES: Readonly<Partial<Record<KeyType, number>>> = { 'ec-p256': 32, 'ec-p384': 48 };

/**
 * A signing key outside the process. What comes back is verified by the public key that the
 * authority was made with before it is released (faults B4): a key that was swapped behind its name, or
 * a broken device, gives KEY_SIGNATURE_WRONG and nothing else.
 */
export function createOutsideKey(parts: OutsideKeyParts): SigningKey {
  const { slot, type, publicKeySpki } = parts;
  const publicKey = createPublicKey({
    key: Buffer.from(publicKeySpki),
    format: 'der',
    type: 'spki',
  });
  return {
    slot,
    type,
    publicKeySpki,
    exportPkcs8: () => undefined,
    async sign(message, options) {
      const digest = hash(options.hash, message, 'buffer');
      const answered = await parts.signDigest({ digest, message, options });
      if (!answered.ok) return answered;
      const signature = encodeAs(options.encoding, answered.value, parts);
      if (signature === undefined) return wrong(slot);
      const input = { key: publicKey, ...verifyOptions(type, options) };
      return (await verifies({ message, hash: options.hash, input, signature }))
        ? ok(signature)
        : wrong(slot);
    },
  };
}

function wrong(slot: string): Result<Uint8Array> {
  return fail(
    'KEY_SIGNATURE_WRONG',
    `the signature that came back for slot ${slot} is not one of its key`,
  );
}

function verifyOptions(type: KeyType, options: SignOptions): Omit<VerifyKeyObjectInput, 'key'> {
  if (publicKeyType(type) !== 'rsa') {
    return options.encoding === 'p1363' ? { dsaEncoding: 'ieee-p1363' } : {};
  }
  if (options.pss !== true) return {};
  return {
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
}

/** On the thread pool: the event loop has the next requests to see to. */
function verifies(check: {
  readonly message: Uint8Array;
  readonly hash: string;
  readonly input: VerifyKeyObjectInput;
  readonly signature: Uint8Array;
}): Promise<boolean> {
  return new Promise((resolve) =>
    verify(check.hash, check.message, check.input, check.signature, (error, good) =>
      resolve(error === null && good),
    ),
  );
}

/** The signature in the form that was asked for; undefined where it is not in the form it claims. */
function encodeAs(
  wanted: 'der' | 'p1363',
  signature: Uint8Array,
  { type, ecdsaForm }: OutsideKeyParts,
): Uint8Array | undefined {
  const size = SCALAR_BYTES[type];
  if (size === undefined || wanted === ecdsaForm) return signature;
  return wanted === 'der' ? toDer(signature, size) : toP1363(signature, size);
}

/** Dss-Sig-Value (RFC 3279 §2.2.3) as two numbers of fixed length (RFC 7518 §3.4). */
function toP1363(der: Uint8Array, size: number): Uint8Array | undefined {
  const numbers = readDer('ECDSA signature', der, (cursor) => {
    const fields = cursor.sequence('ECDSA signature');
    const pair = [fields.positiveInteger('r'), fields.positiveInteger('s')];
    fields.finish('ECDSA signature');
    return pair;
  });
  if (!numbers.ok) return undefined;
  const out = new Uint8Array(2 * size);
  for (const [index, digits] of numbers.value.entries()) {
    if (digits.length > size) return undefined;
    out.set(digits, (index + 1) * size - digits.length);
  }
  return out;
}

function toDer(raw: Uint8Array, size: number): Uint8Array | undefined {
  if (raw.length !== 2 * size) return undefined;
  return derSequence(derUnsigned(raw.subarray(0, size)), derUnsigned(raw.subarray(size)));
}
