import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';

const delegated = { ca: { protection: 'delegated', issuing: { nameConstraint: true } } };

async function mint(server: TestServer): Promise<readonly X509Certificate[]> {
  const csr = Buffer.from(makeCsr({ uris: [`spiffe://${TRUST_DOMAIN}/minted`] }));
  const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
  return (svid?.certChain ?? []).map((der) => new X509Certificate(der));
}

async function roots(server: TestServer): Promise<readonly X509Certificate[]> {
  const bundle = await ask(server.admin(), BundleService.getBundle, { outputMask: undefined });
  return bundle.x509Authorities.map(({ asn1 }) => new X509Certificate(asn1));
}

test('a delegated server answers with chains and keeps its root across a restart', async () => {
  const server = await TestServer.start(delegated);
  const [root, ...others] = await roots(server);
  assert.equal(others.length, 0, 'the bundle holds roots only');
  const [leaf, issuing, ...more] = await mint(server);
  assert.equal(more.length, 0);
  assert.ok(leaf?.verify(issuing!.publicKey));
  assert.ok(issuing?.verify(root!.publicKey));
  const days = (Date.parse(root!.validTo) - Date.parse(root!.validFrom)) / 86_400_000;
  assert.equal(Math.floor(days), 365);

  await server.restart();
  const [again] = await roots(server);
  assert.equal(again?.fingerprint256, root?.fingerprint256);
  const [, next] = await mint(server);
  assert.notEqual(next?.fingerprint256, issuing?.fingerprint256, 'its key ended with the process');
  assert.ok(next?.verify(root!.publicKey));
  await server.stop();
});

test('agents join, and answer for themselves, with a chain of a delegated server', async () => {
  const server = await TestServer.start(delegated);
  const agent = await server.attest();
  assert.equal(agent.chain.length, 2);
  const client = await server.tcp(agent);
  const bundle = await ask(client, BundleService.getBundle, { outputMask: undefined });
  assert.equal(bundle.x509Authorities.length, 1);
  await server.stop();
});
