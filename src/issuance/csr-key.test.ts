import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { makeCloseKey, makeRocaKey, PUBLISHED_KEY } from '../../test/support/weak-keys.ts';
import { keyFrom, makeCsr, makeKey, type TestKeyType } from '../../test/support/x509.ts';
import type { Result } from '../base/result.ts';
import { PUBLISHED_BLOCKED_KEYS } from '../x509/blocked-keys.ts';
import { parseCsr } from '../x509/csr.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import { provenByProof, provenKey } from './csr-key.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
function judge(csr: Uint8Array): string {
  const parsed = parseCsr(csr);
  return code(parsed.ok ? provenKey(parsed.value, PUBLISHED_BLOCKED_KEYS) : parsed);
}

const p256 = makeKey();
const p384 = makeKey('ec-p384');
const rsaWithExponent3 = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicExponent: 3,
}).privateKey;
const offCurve = (spki: Uint8Array) => {
  const moved = Uint8Array.from(spki);
  moved[moved.length - 1]! ^= 1;
  return moved;
};
const ecdsa = (hash: 'sha256' | 'sha384' | 'sha512') => ({ kind: 'ecdsa', hash }) as const;

describe('the key of a CSR', () => {
  const outcomes: readonly [string, Uint8Array, string][] = [
    ['P-256', makeCsr({ key: p256 }), 'ok'],
    ['P-256 with SHA-512', makeCsr({ key: p256, scheme: ecdsa('sha512') }), 'ok'],
    ['P-384', makeCsr({ key: p384 }), 'ok'],
    ['RSA', makeCsr({ key: makeKey('rsa-2048') }), 'ok'],
    ['G-3 RSA of the generator of ROCA', makeCsr({ key: makeRocaKey() }), 'KEY_RSA_ROCA'],
    ['G-3 RSA of neighbouring primes', makeCsr({ key: makeCloseKey() }), 'KEY_RSA_CLOSE_FACTORS'],
    ['G-3 RSA of 1,024 bits', makeCsr({ key: makeKey('rsa-1024') }), 'KEY_RSA_SIZE'],
    ['G-3 RSA of exponent 3', makeCsr({ key: keyFrom(rsaWithExponent3) }), 'KEY_RSA_EXPONENT'],
    ['G-3 a published key', makeCsr({ key: PUBLISHED_KEY }), 'KEY_BLOCKED'],
    [
      'G-3 a published key, signed by another',
      makeCsr({ key: PUBLISHED_KEY, signer: p256 }),
      'KEY_BLOCKED',
    ],
    ['G-1 of another', makeCsr({ key: p256, signer: makeKey() }), 'SIGNATURE_INVALID'],
    ['G-1 of another curve', makeCsr({ key: p256, signer: p384 }), 'SIGNATURE_INVALID'],
    [
      'G-1 without a signature',
      makeCsr({ key: p256, signature: new Uint8Array() }),
      'SIGNATURE_INVALID',
    ],
    [
      'G-1 with zeros as signature',
      makeCsr({ key: p256, signature: new Uint8Array(70) }),
      'SIGNATURE_INVALID',
    ],
    ['G-4 off P-256', makeCsr({ key: p256, spki: offCurve(p256.spki) }), 'PUBLIC_KEY_INVALID'],
    ['G-4 off P-384', makeCsr({ key: p384, spki: offCurve(p384.spki) }), 'PUBLIC_KEY_INVALID'],
    ['G-4 at infinity', makeCsr({ key: p256, spki: infinity(p256.spki) }), 'PUBLIC_KEY_POINT'],
    [
      'G-4 signed with SHA-1',
      makeCsr({ key: p256, algorithm: Buffer.from('300906072a8648ce3d0401', 'hex') }),
      'SIGNATURE_ALGORITHM_WEAK',
    ],
    [
      'with the algorithm of RSA',
      makeCsr({ key: p256, algorithm: signatureAlgorithmDer({ kind: 'rsa', hash: 'sha256' }) }),
      'SIGNATURE_ALGORITHM_KEY',
    ],
  ];
  for (const [name, csr, outcome] of outcomes) {
    test(`${name}: ${outcome}`, () => assert.equal(judge(csr), outcome));
  }

  const refused: readonly TestKeyType[] = ['ec-p521', 'ed25519'];
  for (const type of refused) {
    test(`G-4 ${type} is refused by the key policy`, () => {
      assert.equal(judge(makeCsr({ key: makeKey(type) })), 'KEY_ALGORITHM');
    });
  }
});

/** The same key with a point at infinity: one zero octet. */
function infinity(spki: Uint8Array): Uint8Array {
  const algorithm = spki.subarray(2, 23);
  return Uint8Array.of(0x30, algorithm.length + 4, ...algorithm, 0x03, 0x02, 0x00, 0x00);
}

describe('the key of a proof that is no CSR', () => {
  const message = Buffer.from('a pod');
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const proofBy = (type: TestKeyType, over: Uint8Array = message) => {
    const { spki, privateKey } = makeKey(type);
    const options = type.startsWith('rsa') ? pss : {};
    return { spki, message, signature: sign('sha256', over, { key: privateKey, ...options }) };
  };
  const judged = (proof: Parameters<typeof provenByProof>[0]) =>
    code(provenByProof(proof, PUBLISHED_BLOCKED_KEYS));

  for (const type of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
    test(`G-1 ${type} is proven by its signature over the message, and by no other`, () => {
      assert.equal(judged(proofBy(type)), 'ok');
      assert.equal(judged(proofBy(type, Buffer.from('b pod'))), 'SIGNATURE_INVALID');
      assert.equal(judged({ ...proofBy(type), spki: makeKey(type).spki }), 'SIGNATURE_INVALID');
      assert.equal(judged({ ...proofBy(type), signature: new Uint8Array(3) }), 'SIGNATURE_INVALID');
    });
  }

  test('G-3, G-4 keys that nothing is issued for are refused', () => {
    assert.equal(judged(proofBy('rsa-1024')), 'KEY_RSA_SIZE');
    assert.equal(judged({ ...proofBy('ec-p256'), spki: PUBLISHED_KEY.spki }), 'KEY_BLOCKED');
  });
});
