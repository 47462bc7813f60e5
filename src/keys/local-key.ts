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
import {
  KEY_TYPES,
  type KeyCapabilities,
  type KeyType,
  type SigningKey,
  type SignOptions,
} from './key-manager.ts';
import { publicKeyType } from './scheme.ts';

const CURVES = { 'ec-p256': 'P-256', 'ec-p384': 'P-384' } as const;
const OPENSSL_CURVES: Readonly<Record<string, KeyType>> = {
  prime256v1: 'ec-p256',
  secp384r1: 'ec-p384',
};
const MODULUS_BITS = { 'rsa-2048': 2048, 'rsa-4096': 4096 } as const;

/** What a backend whose keys are in this process can do. */
export function localCapabilities(differing: Pick<KeyCapabilities, 'persistent'>): KeyCapabilities {
  return { ...differing, inProcess: true, anyHash: true, keyTypes: KEY_TYPES };
}

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

/** A private key and where it belongs. */
export interface LocalKeyBytes {
  readonly slot: string;
  readonly type: KeyType;
  /** DER. */
  readonly pkcs8: Uint8Array;
  /** Signs on the calling thread, RSA too: for threads that have nothing else to do. */
  readonly blocking?: boolean;
}

/** A private key from its bytes, or undefined where they are none or of another type. */
export function importLocalKey(bytes: LocalKeyBytes): SigningKey | undefined {
  const { slot, type, pkcs8, blocking } = bytes;
  try {
    const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
    return typeOf(key) === type ? new LocalKey(slot, type, key, blocking) : undefined;
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
  readonly #inPlace: boolean;

  constructor(slot: string, type: KeyType, key: KeyObject, blocking = false) {
    this.slot = slot;
    this.type = type;
    this.#key = key;
    // P-256 takes 35 µs: cheaper here than the way to the thread pool and back. RSA takes 0.7 to
    // 5 ms, too long for an event loop.
    this.#inPlace = blocking || publicKeyType(type) !== 'rsa';
    this.publicKeySpki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  }

  async sign(message: Uint8Array, options: SignOptions): Promise<Result<Uint8Array>> {
    const input = this.#input(options);
    if (this.#inPlace) return ok(cryptoSign(options.hash, message, input));
    return new Promise((resolve) =>
      cryptoSign(options.hash, message, input, (error, signature) =>
        resolve(
          error === null
            ? ok(signature)
            : fail('KEY_SIGN_FAILED', `signing with slot ${this.slot} failed`, { cause: error }),
        ),
      ),
    );
  }

  #input(options: SignOptions): SignKeyObjectInput {
    const key = this.#key;
    if (publicKeyType(this.type) !== 'rsa') {
      return options.encoding === 'p1363' ? { key, dsaEncoding: 'ieee-p1363' } : { key };
    }
    if (options.pss !== true) return { key };
    return {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    };
  }

  exportPkcs8(): Uint8Array {
    return this.#key.export({ format: 'der', type: 'pkcs8' });
  }
}
