import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../base/bytes.ts';
import { unwrap } from '../base/result.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { decodeBase64, decodeBase64Url, encodeBase64, encodeBase64Url } from './base64.ts';
import { type JsonObject, parseJsonObject } from './json.ts';
import { formatJwk, parseJwk } from './jwk.ts';
import { defaultJwsAlgorithm } from './jws.ts';

const EC_KEYS = (['P-256', 'P-384', 'P-521'] as const).map((namedCurve) => ({
  name: namedCurve,
  pair: generateKeyPairSync('ec', { namedCurve }),
}));
const RSA_KEY = { name: 'RSA', pair: generateKeyPairSync('rsa', { modulusLength: 2048 }) };
const KEYS = [...EC_KEYS, RSA_KEY];

const EC = EC_KEYS[0]!.pair.publicKey.export({ format: 'jwk' });
const RSA = RSA_KEY.pair.publicKey.export({ format: 'jwk' });

function json(value: unknown): JsonObject {
  return unwrap(parseJsonObject(utf8(JSON.stringify(value)), { maxBytes: 100_000 }));
}

function outcome(jwk: unknown): string {
  const result = parseJwk(json(jwk));
  return result.ok ? 'ok' : result.error.code;
}

for (const { name, pair } of KEYS) {
  const jwk = pair.publicKey.export({ format: 'jwk' });
  test(`a ${name} key is read from its JWK and written back without other members`, () => {
    const { publicKey, keyId, algorithm } = unwrap(parseJwk(json({ ...jwk, kid: 'k', x5t: 'x' })));
    const spki = pair.publicKey.export({ format: 'der', type: 'spki' });
    assert.deepEqual(Buffer.from(publicKey.spki), spki);
    assert.deepEqual([keyId, algorithm], ['k', undefined]);
    assert.deepEqual(unwrap(formatJwk(unwrap(parsePublicKey(spki)))), jwk);
  });

  test(`JWK a ${name} key with private members is refused, each of them alone as well`, () => {
    const secret = pair.privateKey.export({ format: 'jwk' });
    assert.equal(outcome(secret), 'JWK_PRIVATE');
    for (const member of Object.keys(secret).filter((key) => !(key in jwk))) {
      assert.equal(outcome({ ...jwk, [member]: 'AA' }), 'JWK_PRIVATE', member);
    }
    assert.equal(outcome({ ...jwk, d: null }), 'JWK_PRIVATE');
  });
}

test('a key of another type is refused on the way in and on the way out', () => {
  const ed = generateKeyPairSync('ed25519').publicKey;
  assert.equal(outcome(ed.export({ format: 'jwk' })), 'JWK_KEY_TYPE');
  const key = unwrap(parsePublicKey(ed.export({ format: 'der', type: 'spki' })));
  const result = formatJwk(key);
  assert.equal(result.ok ? 'ok' : result.error.code, 'JWK_KEY_TYPE');
});

/** Bytes changed in a base64url member. */
function edited(text: string | undefined, edit: (bytes: Buffer) => Buffer): string {
  return edit(Buffer.from(text ?? '', 'base64url')).toString('base64url');
}

const shorter = (bytes: Buffer): Buffer => bytes.subarray(1);
const longer = (bytes: Buffer): Buffer => Buffer.concat([Buffer.alloc(1), bytes]);
const flipped = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy[5] = (copy[5] ?? 0) ^ 1;
  return copy;
};
const modulus = (bytes: number, last = 0xff): string =>
  Buffer.concat([Buffer.alloc(bytes - 1, 0xff), Buffer.of(last)]).toString('base64url');

const REFUSED: readonly (readonly [name: string, jwk: object, code: string])[] = [
  ['no kty', { ...EC, kty: undefined }, 'JWK_KEY_TYPE'],
  ['a kty in another case', { ...EC, kty: 'ec' }, 'JWK_KEY_TYPE'],
  ['a symmetric key', { kty: 'oct', k: 'AAAA' }, 'JWK_PRIVATE'],
  ['a kty of after-quantum keys', { kty: 'AKP', pub: 'AAAA' }, 'JWK_KEY_TYPE'],
  ['a kty named like a member of objects', { ...EC, kty: 'constructor' }, 'JWK_KEY_TYPE'],
  ['another curve', { ...EC, crv: 'secp256k1' }, 'JWK_KEY_TYPE'],
  ['the curve of longer coordinates', { ...EC, crv: 'P-384' }, 'JWK_MEMBER'],
  ['no curve', { ...EC, crv: undefined }, 'JWK_KEY_TYPE'],
  ['no x', { ...EC, x: undefined }, 'JWK_MEMBER'],
  ['no y', { ...EC, y: undefined }, 'JWK_MEMBER'],
  ['a y that is a number', { ...EC, y: 5 }, 'JWK_MEMBER'],
  ['a point off the curve', { ...EC, x: edited(EC.x, flipped) }, 'JWK_MEMBER'],
  ['the point at infinity', { ...EC, x: 'A'.repeat(43), y: 'A'.repeat(43) }, 'JWK_MEMBER'],
  ['a coordinate one byte short', { ...EC, x: edited(EC.x, shorter) }, 'JWK_MEMBER'],
  ['a coordinate one byte long', { ...EC, x: edited(EC.x, longer) }, 'JWK_MEMBER'],
  ['a coordinate with padding', { ...EC, x: `${EC.x}=` }, 'JWK_MEMBER'],
  ['a coordinate with a space', { ...EC, x: `${EC.x} ` }, 'JWK_MEMBER'],
  ['no modulus', { ...RSA, n: undefined }, 'JWK_MEMBER'],
  ['no exponent', { ...RSA, e: undefined }, 'JWK_MEMBER'],
  ['an empty modulus', { ...RSA, n: '' }, 'JWK_MEMBER'],
  ['an empty exponent', { ...RSA, e: '' }, 'JWK_MEMBER'],
  ['a modulus with a zero in front', { ...RSA, n: edited(RSA.n, longer) }, 'JWK_MEMBER'],
  ['an exponent with a zero in front', { ...RSA, e: 'AAEAAQ' }, 'JWK_MEMBER'],
  ['a modulus in the other alphabet', { ...RSA, n: `+${(RSA.n ?? '').slice(1)}` }, 'JWK_MEMBER'],
  ['an exponent of 9 bytes', { ...RSA, e: modulus(9) }, 'JWK_MEMBER'],
  ['a modulus of 1025 bytes', { ...RSA, n: modulus(1025) }, 'JWK_MEMBER'],
  ['a modulus of 1024 bits', { ...RSA, n: modulus(128) }, 'KEY_RSA_SIZE'],
  ['a modulus of 2040 bits', { ...RSA, n: modulus(255) }, 'KEY_RSA_SIZE'],
  ['a modulus of 8192 bits', { ...RSA, n: modulus(1024) }, 'KEY_RSA_SIZE'],
  ['an exponent of 1', { ...RSA, e: 'AQ' }, 'KEY_RSA_EXPONENT'],
  ['an exponent of 3', { ...RSA, e: 'Aw' }, 'KEY_RSA_EXPONENT'],
  ['an exponent of 65535', { ...RSA, e: '__8' }, 'KEY_RSA_EXPONENT'],
  ['an even exponent', { ...RSA, e: 'AQAC' }, 'KEY_RSA_EXPONENT'],
  ['an exponent of 2^32 + 1', { ...RSA, e: 'AQAAAAE' }, 'KEY_RSA_EXPONENT'],
  ['a modulus with a small factor', { ...RSA, n: modulus(256) }, 'KEY_RSA_WEAK'],
  ['a kid that is a number', { ...EC, kid: 1 }, 'JWK_MEMBER'],
  ['the alg of another curve', { ...EC, alg: 'ES384' }, 'JWK_ALGORITHM'],
  ['an RSA alg on a curve', { ...EC, alg: 'RS256' }, 'JWK_ALGORITHM'],
  ['the alg of a symmetric key', { ...RSA, alg: 'HS256' }, 'JWK_ALGORITHM'],
  ['an alg for encryption', { ...RSA, alg: 'RSA-OAEP' }, 'JWK_ALGORITHM'],
  ['an alg that is a number', { ...RSA, alg: 1 }, 'JWK_ALGORITHM'],
  ['operations without verify', { ...EC, key_ops: ['encrypt'] }, 'JWK_USE'],
  ['operations that are a string', { ...EC, key_ops: 'verify' }, 'JWK_USE'],
];
for (const [name, jwk, code] of REFUSED) {
  test(`JWK refuses ${name}`, () => assert.equal(outcome(jwk), code));
}

test('JWK takes an alg that fits and operations with verify', () => {
  assert.equal(unwrap(parseJwk(json({ ...RSA, alg: 'PS384' }))).algorithm, 'PS384');
  assert.equal(outcome({ ...EC, alg: 'ES256', key_ops: ['sign', 'verify'] }), 'ok');
});

test('every key type that an authority may have knows the algorithm it signs with', () => {
  const types = ['ec-p256', 'ec-p384', 'ec-p521', 'rsa', 'ed25519', 'unknown'] as const;
  assert.deepEqual(types.map(defaultJwsAlgorithm), [
    'ES256',
    'ES384',
    'ES512',
    'RS256',
    undefined,
    undefined,
  ]);
});

test('no members make the reader throw, and what it takes Node takes too', () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.base64String(),
    fc.constantFrom('EC', 'RSA', 'P-256', EC.x, EC.y, RSA.n),
  );
  const names = ['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'alg', 'key_ops', 'use'];
  const change = fc.record(Object.fromEntries(names.map((name) => [name, value])), {
    requiredKeys: [],
  });
  fc.assert(
    fc.property(fc.constantFrom(EC, RSA, {}), change, (base, members) => {
      const result = parseJwk(json({ ...base, ...members }));
      if (!result.ok) return;
      const key = Buffer.from(result.value.publicKey.spki);
      createPublicKey({ key, format: 'der', type: 'spki' });
    }),
    { numRuns: 1_000 },
  );
});

test('base64 and base64url are read exactly as they are written', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.deepEqual(
        Buffer.from(decodeBase64Url(encodeBase64Url(bytes)) ?? []),
        Buffer.from(bytes),
      );
      assert.deepEqual(Buffer.from(decodeBase64(encodeBase64(bytes)) ?? []), Buffer.from(bytes));
    }),
  );
  for (const text of ['A', 'AB', 'AA=', 'AA==', 'AA ', ' AA', 'A A', 'A+/A', 'AA\n', 'ÄA', 'AA.']) {
    assert.equal(decodeBase64Url(text), undefined, text);
  }
  for (const text of ['A', 'AA', 'AB==', 'AA=', 'AA== ', 'A-_A', 'AA==\n', 'AA==AA==']) {
    assert.equal(decodeBase64(text), undefined, text);
  }
});
