import assert from 'node:assert/strict';
import { createPublicKey, verify, X509Certificate } from 'node:crypto';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { ask, type TestServer, TRUST_DOMAIN } from './server.ts';
import { makeCsr } from './x509.ts';

/** Mints an X.509-SVID by the admin socket: its chain, leaf first. */
export async function mint(at: TestServer): Promise<readonly X509Certificate[]> {
  const csr = Buffer.from(makeCsr({ uris: [`spiffe://${TRUST_DOMAIN}/minted`] }));
  const { svid } = await ask(at.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
  return (svid?.certChain ?? []).map((der) => new X509Certificate(der));
}

/** Mints a JWT-SVID by the admin socket. */
export async function mintJwt(at: TestServer): Promise<string> {
  const id = { trustDomain: TRUST_DOMAIN, path: '/minted' };
  const request = { id, audience: ['db'], ttl: 0 };
  return (await ask(at.admin(), SVIDService.mintJwtsvid, request)).svid?.token ?? '';
}

/** Whether a P-256 key of the server's bundle verifies a token. */
export async function verifiesJwt(at: TestServer, token: string): Promise<boolean> {
  const bundle = await ask(at.admin(), BundleService.getBundle, { outputMask: undefined });
  const [head = '', body = '', signature = ''] = token.split('.');
  const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString());
  const key = bundle.jwtAuthorities.find(({ keyId }) => keyId === kid);
  assert.ok(key, `the bundle has no key ${kid}`);
  const publicKey = createPublicKey({ key: key.publicKey, format: 'der', type: 'spki' });
  const bits = Buffer.from(signature, 'base64url');
  const input = Buffer.from(`${head}.${body}`);
  return verify('sha256', input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, bits);
}
