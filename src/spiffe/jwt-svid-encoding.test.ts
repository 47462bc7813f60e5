import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { jwtBundle, makeJwtKey } from '../../test/support/jwt.ts';
import { unwrap } from '../base/result.ts';
import { checkAudience, MAX_AUDIENCE_BYTES, MAX_AUDIENCES } from './audience.ts';
import { jsonToPlain } from './json.ts';
import { MAX_JWT_SVID_BYTES, validateJwtSvid } from './jwt-svid.ts';
import {
  encodeJwtSvid,
  encodeJwtSvidHeader,
  encodeJwtSvidInput,
  type JwtSvidClaims,
} from './jwt-svid-encoding.ts';
import { parseSpiffeId } from './spiffe-id.ts';

const ID = unwrap(parseSpiffeId('spiffe://TD/w'));
const KEY = makeJwtKey('P-256', 'key "1"');
const HEADER = encodeJwtSvidHeader('ES256', KEY.keyId);
const CLAIMS = { id: ID, audience: ['a', 'b'], issuedAtSeconds: 1_000, expiresAtSeconds: 1_300 };

function partsOf(claims: JwtSvidClaims): { header: string; payload: string } {
  const [header = '', payload = ''] = encodeJwtSvidInput(HEADER, claims).split('.');
  const text = (part: string): string => Buffer.from(part, 'base64url').toString();
  return { header: text(header), payload: text(payload) };
}

function issue(claims: JwtSvidClaims): string {
  const input = encodeJwtSvidInput(HEADER, claims);
  const key = { key: KEY.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return encodeJwtSvid(input, sign('sha256', Buffer.from(input), key));
}

test('JWT-2, JWT-5, JWT-6 the header is alg, kid and typ JWT, and nothing else', () => {
  assert.deepEqual(JSON.parse(partsOf(CLAIMS).header), {
    alg: 'ES256',
    kid: 'key "1"',
    typ: 'JWT',
  });
});

test('JWT-7, JWT-8, JWT-12, JWT-19 claims: canonical sub, aud as an array, whole exp and iat', () => {
  const { payload } = partsOf({ ...CLAIMS, audience: ['a'] });
  assert.equal(payload, '{"sub":"spiffe://td/w","aud":["a"],"exp":1300,"iat":1000}');
});

test('JWT-17 iss and jti are there when asked for', () => {
  const { payload } = partsOf({ ...CLAIMS, issuer: 'https://issuer', jwtId: 'x' });
  assert.deepEqual(Object.keys(JSON.parse(payload)), ['sub', 'aud', 'exp', 'iat', 'iss', 'jti']);
});

test('JWT-12 a time that is not whole seconds is a mistake of the caller', () => {
  for (const wrong of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    assert.throws(
      () => encodeJwtSvidInput(HEADER, { ...CLAIMS, expiresAtSeconds: wrong }),
      TypeError,
    );
    assert.throws(
      () => encodeJwtSvidInput(HEADER, { ...CLAIMS, issuedAtSeconds: wrong }),
      TypeError,
    );
  }
});

test('what is issued validates for each of its audiences, whatever they hold', () => {
  const value = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 40 })
    .filter((text) => checkAudience([text]).ok);
  fc.assert(
    fc.property(fc.uniqueArray(value, { minLength: 1, maxLength: 5 }), (audience) => {
      const token = issue({ ...CLAIMS, audience: unwrap(checkAudience(audience)) });
      for (const own of audience) {
        const bundles = () => jwtBundle(ID.trustDomain, [KEY]);
        const svid = unwrap(validateJwtSvid({ token, bundles, audience: own, atMs: 1_100_000 }));
        assert.deepEqual(jsonToPlain(svid.claims.get('aud') ?? null), audience);
      }
    }),
    { numRuns: 50 },
  );
});

test('the longest ID with the longest audiences makes a token that validators take', () => {
  const id = unwrap(parseSpiffeId(`spiffe://td/${'a'.repeat(2036)}`));
  const length = MAX_AUDIENCE_BYTES / MAX_AUDIENCES;
  for (const many of [
    ['x'.repeat(MAX_AUDIENCE_BYTES)],
    // Written as \u0001, six bytes.
    ['\u0001'.repeat(Math.floor(MAX_AUDIENCE_BYTES / 6))],
    Array.from({ length: MAX_AUDIENCES }, (_, index) => String(index).padEnd(length, ' ')),
  ]) {
    const audience = unwrap(checkAudience(many));
    const input = encodeJwtSvidInput(HEADER, { ...CLAIMS, id, audience, issuer: 'i'.repeat(1024) });
    // The longest signature that we make: RSA 4096.
    assert.ok(encodeJwtSvid(input, new Uint8Array(512)).length <= MAX_JWT_SVID_BYTES);
  }
});
