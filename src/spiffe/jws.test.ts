import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { test } from 'node:test';
import { makeJwtKey, signCompact, signerFor } from '../../test/support/jwt.ts';
import { type Result, unwrap } from '../base/result.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { parseCompactJws, verifyCompactJws } from './jws.ts';

const P256 = makeJwtKey('P-256', 'a');
const P384 = makeJwtKey('P-384', 'b');
const RSA = makeJwtKey('rsa-2048', 'c');

function verify(token: string, spki: Uint8Array): string {
  const result: Result<void> = verifyCompactJws(
    unwrap(parseCompactJws(token, 16_384)),
    unwrap(parsePublicKey(spki)),
  );
  return result.ok ? 'ok' : result.error.code;
}

test('JWT-14 a signature that a lax verifier would take is refused where curve and hash do not fit', () => {
  const token = signCompact({ alg: 'ES256' }, '{}', (input) =>
    sign('sha256', input, { key: P384.privateKey, dsaEncoding: 'ieee-p1363' }),
  );
  assert.equal(verify(token, P384.authority.publicKeySpki), 'JWT_SVID_KEY');
});

test('the same token and key fit or do not fit by the name of the algorithm alone', () => {
  const token = signCompact({ alg: 'RS256' }, '{}', signerFor('RS256', RSA.privateKey));
  assert.equal(verify(token, RSA.authority.publicKeySpki), 'ok');
  assert.equal(verify(token, P256.authority.publicKeySpki), 'JWT_SVID_KEY');
});

test('a payload may be empty or any bytes; only claims must be JSON', () => {
  for (const payload of ['', '\0', '{}']) {
    const token = signCompact({ alg: 'ES256' }, payload, signerFor('ES256', P256.privateKey));
    assert.equal(verify(token, P256.authority.publicKeySpki), 'ok');
  }
});

test('a header that was read before is read alike, whatever came between', () => {
  const tokenWith = (header: object) =>
    signCompact(header, '{}', signerFor('ES256', P256.privateKey));
  const first = tokenWith({ alg: 'ES256', kid: 'first' });
  const refused = tokenWith({ alg: 'none', kid: 'first' });
  for (let index = 0; index < 100; index++) {
    assert.equal(unwrap(parseCompactJws(first, 16_384)).keyId, 'first');
    assert.equal(parseCompactJws(refused, 16_384).ok, false);
    const other = unwrap(parseCompactJws(tokenWith({ alg: 'ES256', kid: `${index}` }), 16_384));
    assert.equal(other.keyId, `${index}`);
  }
});
