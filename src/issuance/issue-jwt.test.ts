import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { jwtGrant, makeIssuer, startAuthorities } from '../../test/support/issuance.ts';
import { ManualClock } from '../base/clock.ts';
import { type Result, unwrap } from '../base/result.ts';
import { validateJwtSvid } from '../spiffe/jwt-svid.ts';

const START_MS = Date.UTC(2026, 0, 1);
const NOW = START_MS / 1000;
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const closers: (() => Promise<void>)[] = [];
after(() => Promise.all(closers.map((close) => close())));

async function desk(options: { readonly jwtIssuer?: string } = {}) {
  const clock = new ManualClock(START_MS);
  const authority = await startAuthorities({ clock });
  const issuer = makeIssuer({ authority, clock, workers: 0, ...options });
  closers.push(
    () => issuer.close(),
    () => authority.close(),
  );
  return { authority, issuer };
}

describe('issued JWT-SVIDs', () => {
  const claimsOf = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8'));
  const headerOf = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString('utf8'));

  test('A.5 say who, for whom, from when, until when, and no more', async () => {
    const { issuer, authority } = await desk();
    const issued = unwrap(await issuer.issueJwt(jwtGrant('/web', { audience: ['db'] })));
    assert.deepEqual(claimsOf(issued.token), {
      sub: 'spiffe://example.org/web',
      aud: ['db'],
      iat: NOW,
      exp: NOW + 300,
    });
    const { keyId } = unwrap(authority.currentJwt());
    assert.deepEqual(headerOf(issued.token), { alg: 'ES256', kid: keyId, typ: 'JWT' });
    assert.equal(issued.issuedAtSeconds, NOW);
    assert.equal(issued.expiresAtSeconds, NOW + 300);
    const { token } = issued;
    const bundles = () => authority.bundle();
    assert.equal(code(validateJwtSvid({ token, bundles, audience: 'db', atMs: START_MS })), 'ok');
  });

  test('A.5 have an issuer where configured, and an id where the entry asks, never twice the same', async () => {
    const { issuer } = await desk({ jwtIssuer: 'https://id.example.org' });
    const grant = jwtGrant('/web', { includeJti: true });
    const claims = await Promise.all(
      Array.from({ length: 50 }, async () => claimsOf(unwrap(await issuer.issueJwt(grant)).token)),
    );
    assert.ok(claims.every(({ iss }) => iss === 'https://id.example.org'));
    assert.equal(new Set(claims.map(({ jti }) => jti)).size, 50);
  });

  test('do not outlive their key', async () => {
    const { issuer, authority } = await desk();
    const issued = unwrap(await issuer.issueJwt(jwtGrant('/web', { ttlSeconds: 10 * 86_400 })));
    assert.equal(issued.expiresAtSeconds, unwrap(authority.currentJwt()).expiresAtSeconds);
  });
});
