import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { Bundle, BundleJwtAuthority } from '../../src/spiffe/bundle.ts';
import { emptyBundle } from '../../src/spiffe/bundle.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';

/** A key pair that signs test tokens. */
export interface TestJwtKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly authority: BundleJwtAuthority;
}

/** Kinds of test key. */
export type TestKeyType = 'P-256' | 'P-384' | 'P-521' | 'rsa-2048';

/** Makes a key pair of a kind, and the authority that a bundle holds for it. */
export function makeJwtKey(type: TestKeyType, keyId: string): TestJwtKey {
  const { privateKey, publicKey } =
    type === 'rsa-2048'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: type });
  const publicKeySpki = publicKey.export({ format: 'der', type: 'spki' });
  const authority = { keyId, publicKeySpki, expiresAtSeconds: 0, tainted: false };
  return { keyId, privateKey, publicKey, authority };
}

/** A bundle that holds these keys. */
export function jwtBundle(trustDomain: TrustDomain, keys: readonly TestJwtKey[]): Bundle {
  return { ...emptyBundle(trustDomain), jwtAuthorities: keys.map(({ authority }) => authority) };
}

/** Unpadded base64url of bytes or of text. */
export function base64url(data: string | Uint8Array): string {
  return Buffer.from(data).toString('base64url');
}

/** Joins a header, a payload and a signature of them; texts are taken as they are. */
export function signCompact(
  header: string | object,
  payload: string | object,
  signer: (input: Buffer) => Uint8Array,
): string {
  const text = (part: string | object): string =>
    typeof part === 'string' ? part : JSON.stringify(part);
  const input = `${base64url(text(header))}.${base64url(text(payload))}`;
  return `${input}.${base64url(signer(Buffer.from(input)))}`;
}

/** Signs as an algorithm name says, whether or not a validator would allow it. */
export function signerFor(algorithm: string, key: KeyObject): (input: Buffer) => Uint8Array {
  if (algorithm === 'none') return () => new Uint8Array();
  const hash = `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith('HS')) {
    return (input) =>
      createHmac(hash, key.export({ format: 'pem', type: 'spki' }))
        .update(input)
        .digest();
  }
  if (algorithm.startsWith('ES')) {
    return (input) => sign(hash, input, { key, dsaEncoding: 'ieee-p1363' });
  }
  const pss = {
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
  return (input) => sign(hash, input, algorithm.startsWith('PS') ? { key, ...pss } : key);
}
