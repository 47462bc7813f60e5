import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { LocalAuthorityService } from '../../src/gen/spire/api/server/localauthority/v1/localauthority.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { ask, TestServer } from '../support/server.ts';
import { type GoTool, goTool } from './go-tool.ts';

interface Outcome {
  readonly subject: string;
  readonly algorithm: string;
  readonly error: string;
}

const NAME = 'id.example.org';
const ISSUER = `https://${NAME}/prod`;

/** A server that is its own issuer, by its own certificate. */
async function serverWith(keyType: string): Promise<TestServer> {
  const server = await TestServer.start({
    listen: { port: 0, dnsNames: [NAME] },
    jwt: { issuer: ISSUER, keyType },
    oidc: { port: 0, address: '::', ownCertificate: true },
  });
  writeFileSync(join(server.dir, 'roots.pem'), await server.bundlePem());
  return server;
}

async function mint(server: TestServer): Promise<string> {
  const id = { trustDomain: 'example.org', path: '/web' };
  const request = { id, audience: ['sts.example'], ttl: 0 };
  return (await ask(server.admin(), SVIDService.mintJwtsvid, request)).svid?.token ?? '';
}

describe('tokens and discovery, by coreos/go-oidc', () => {
  let tool: GoTool;
  before(async () => {
    tool = await goTool('oidc', '.');
  });

  async function verified(
    server: TestServer,
    token: string,
    { issuer = ISSUER, audience = 'sts.example' } = {},
  ): Promise<Outcome> {
    const address = `127.0.0.1:${server.running.oidcPort}`;
    const args = [issuer, address, join(server.dir, 'roots.pem'), audience, token];
    const { stdout, stderr, code } = await tool.run(args);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Outcome;
  }

  for (const [keyType, algorithm] of [
    ['ec-p256', 'ES256'],
    ['ec-p384', 'ES384'],
    ['rsa-2048', 'RS256'],
  ] as const) {
    it(`are taken with ${algorithm}`, async () => {
      assert.equal(tool.missing, undefined);
      const server = await serverWith(keyType);
      const outcome = await verified(server, await mint(server));
      assert.deepEqual(outcome, { subject: 'spiffe://example.org/web', algorithm, error: '' });
      await server.stop();
    });
  }

  it('are taken across a rotation, and refused for others', async () => {
    const server = await serverWith('ec-p256');
    const before = await mint(server);
    const admin = server.admin();
    const prepared = await ask(admin, LocalAuthorityService.prepareJwtAuthority, {});
    const authorityId = prepared.preparedAuthority?.authorityId ?? '';
    const activate = { authorityId, force: true };
    await ask(admin, LocalAuthorityService.activateJwtAuthority, activate);
    const after = await mint(server);
    assert.notEqual(before.split('.')[0], after.split('.')[0]);
    for (const token of [before, after]) assert.equal((await verified(server, token)).error, '');
    assert.match((await verified(server, after, { audience: 'other' })).error, /audience/);
    const elsewhere = await verified(server, after, { issuer: `https://${NAME}/prod/` });
    assert.match(elsewhere.error, /did not match|404/);
    const [header, claims, signature = ''] = after.split('.');
    const changed = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
    const forged = [header, claims, changed].join('.');
    assert.match((await verified(server, forged)).error, /signature/);
    await server.stop();
  });
});
