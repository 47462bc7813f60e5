import type { webcrypto } from 'node:crypto';
import { Crypto } from '@peculiar/webcrypto';
import { fail, ok, type Result } from '../base/result.ts';
import type { KeyType, SigningKey, SignOptions } from './key-manager.ts';

/**
 * A `Crypto` whose private keys stay in their key manager, for libraries that speak WebCrypto. Whatever
 * has nothing to do with those keys (hashes, public keys, verifying) is done in this process.
 */
export interface KeyCrypto {
  readonly crypto: Crypto;
  /** The key as a pair of WebCrypto keys; the private one signs with `hash` and gives nothing else. */
  pairOf(key: SigningKey, hash: SignOptions['hash']): Promise<Result<webcrypto.CryptoKeyPair>>;
}

const CURVES: Readonly<Partial<Record<KeyType, string>>> = {
  'ec-p256': 'P-256',
  'ec-p384': 'P-384',
};
const HASHES = { sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' } as const;

/** What the key manager said in place of a signature; WebCrypto has no way to answer a refusal. */
class SignRefused extends TypeError {}

/** Makes the face; it holds no keys. */
export function createKeyCrypto(): KeyCrypto {
  const crypto = new Crypto();
  const signers = new WeakMap<CryptoKey, SigningKey>();
  const inProcess = crypto.subtle.sign.bind(crypto.subtle);
  crypto.subtle.sign = async (algorithm, key, data) => {
    const signer = signers.get(key);
    if (signer === undefined) return inProcess(algorithm, key, data);
    const hash = hashOf(algorithm, key);
    if (hash === undefined) throw new TypeError('this key signs with SHA-256, SHA-384 or SHA-512');
    const pss = key.algorithm.name === 'RSA-PSS';
    // WebCrypto's ECDSA signatures are two numbers of fixed length.
    const signed = await signer.sign(bytesOf(data), { hash, pss, encoding: 'p1363' });
    if (!signed.ok) throw new SignRefused(signed.error.message, { cause: signed.error });
    return Uint8Array.from(signed.value).buffer;
  };
  return {
    crypto,
    async pairOf(key, hash) {
      const algorithm = algorithmOf(key.type, hash);
      const spki = Uint8Array.from(key.publicKeySpki);
      try {
        const publicKey = await crypto.subtle.importKey('spki', spki, algorithm, true, ['verify']);
        const usages: webcrypto.KeyUsage[] = ['sign'];
        const shown = { type: 'private' as const, extractable: false, usages };
        const privateKey: CryptoKey = Object.freeze({ ...shown, algorithm: publicKey.algorithm });
        signers.set(privateKey, key);
        return ok({ publicKey, privateKey });
      } catch (cause) {
        return fail('KEY_SIGNING_UNSUPPORTED', `the key of slot ${key.slot} is none of WebCrypto`, {
          cause,
        });
      }
    },
  };
}

function algorithmOf(type: KeyType, hash: SignOptions['hash']) {
  const namedCurve = CURVES[type];
  return namedCurve === undefined
    ? { name: 'RSASSA-PKCS1-v1_5', hash: HASHES[hash] }
    : { name: 'ECDSA', namedCurve };
}

/** ECDSA says the hash with each signature, RSA with the key. */
function hashOf(algorithm: unknown, key: CryptoKey): SignOptions['hash'] | undefined {
  const name = hashName(algorithm) ?? hashName(key.algorithm);
  if (name === 'SHA-256') return 'sha256';
  if (name === 'SHA-384') return 'sha384';
  return name === 'SHA-512' ? 'sha512' : undefined;
}

function hashName(algorithm: unknown): unknown {
  if (typeof algorithm !== 'object' || algorithm === null || !('hash' in algorithm))
    return undefined;
  const { hash } = algorithm;
  return typeof hash === 'object' && hash !== null && 'name' in hash ? hash.name : hash;
}

function bytesOf(data: ArrayBuffer | NodeJS.ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
