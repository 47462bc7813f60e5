import {
  constants,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  generateKeyPair,
  type KeyObject,
  type SignKeyObjectInput,
} from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import type { KeyType, SigningKey, SignOptions } from './key-manager.ts';

const CURVES = { 'ec-p256': 'P-256', 'ec-p384': 'P-384' } as const;
const OPENSSL_CURVES: Readonly<Record<string, KeyType>> = {
  prime256v1: 'ec-p256',
  secp384r1: 'ec-p384',
};
const MODULUS_BITS = { 'rsa-2048': 2048, 'rsa-4096': 4096 } as const;

/** Makes a private key in this process, off the event loop (an RSA key takes up to seconds). */
export function generateLocalKey(slot: string, type: KeyType): Promise<Result<SigningKey>> {
  return new Promise((resolve) => {
    const done = (error: Error | null, _public: KeyObject, privateKey: KeyObject): void =>
      resolve(
        error === null
          ? ok(new LocalKey(slot, type, privateKey))
          : fail('KEY_GENERATE_FAILED', `cannot make a ${type} key for slot ${slot}`, {
              cause: error,
            }),
      );
    if (type === 'ec-p256' || type === 'ec-p384') {
      generateKeyPair('ec', { namedCurve: CURVES[type] }, done);
    } else {
      generateKeyPair('rsa', { modulusLength: MODULUS_BITS[type] }, done);
    }
  });
}

/** A private key from PKCS#8 DER, or undefined where it is none or of another type. */
export function importLocalKey(
  slot: string,
  type: KeyType,
  pkcs8: Uint8Array,
): SigningKey | undefined {
  try {
    const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
    return typeOf(key) === type ? new LocalKey(slot, type, key) : undefined;
  } catch {
    return undefined; // The caller refuses with what it knows of where the bytes came from.
  }
}

function typeOf(key: KeyObject): KeyType | undefined {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'ec') return OPENSSL_CURVES[details?.namedCurve ?? ''];
  if (key.asymmetricKeyType !== 'rsa') return undefined;
  if (details?.modulusLength === 2048) return 'rsa-2048';
  return details?.modulusLength === 4096 ? 'rsa-4096' : undefined;
}

/** A key whose private part is in this process. */
class LocalKey implements SigningKey {
  readonly slot: string;
  readonly type: KeyType;
  readonly publicKeySpki: Uint8Array;
  readonly #key: KeyObject;

  constructor(slot: string, type: KeyType, key: KeyObject) {
    this.slot = slot;
    this.type = type;
    this.#key = key;
    this.publicKeySpki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  }

  async sign(message: Uint8Array, options: SignOptions): Promise<Result<Uint8Array>> {
    const input: SignKeyObjectInput = { key: this.#key };
    if (this.type === 'ec-p256' || this.type === 'ec-p384') {
      if (options.encoding === 'p1363') input.dsaEncoding = 'ieee-p1363';
      // 35 µs (P-256): cheaper than the way to the thread pool and back.
      return ok(cryptoSign(options.hash, message, input));
    }
    if (options.pss === true) {
      input.padding = constants.RSA_PKCS1_PSS_PADDING;
      input.saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
    }
    return this.#signInPool(message, options.hash, input);
  }

  /** RSA takes 0.7 to 5 ms, too long for the event loop. */
  #signInPool(
    message: Uint8Array,
    hash: string,
    input: SignKeyObjectInput,
  ): Promise<Result<Uint8Array>> {
    return new Promise((resolve) =>
      cryptoSign(hash, message, input, (error, signature) =>
        resolve(
          error === null
            ? ok(signature)
            : fail('KEY_SIGN_FAILED', `signing with slot ${this.slot} failed`, { cause: error }),
        ),
      ),
    );
  }

  exportPkcs8(): Uint8Array {
    return this.#key.export({ format: 'der', type: 'pkcs8' });
  }
}
