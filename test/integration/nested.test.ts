import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';
import { unwrap } from '../../src/base/result.ts';
import { encodePem } from '../../src/der/pem.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { run } from '../support/processes.ts';
import {
  ask,
  assertStatus,
  type TestIdentity,
  TestServer,
  TRUST_DOMAIN,
} from '../support/server.ts';
import { makeCsr, makeIntermediate, makeKey, makeRoot } from '../support/x509.ts';

const TD = `spiffe://${TRUST_DOMAIN}`;

async function minted(server: TestServer, path: string): Promise<TestIdentity> {
  const key = makeKey();
  const csr = Buffer.from(makeCsr({ key, uris: [TD + path] }));
  const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
  return { key, chain: svid!.certChain };
}

describe('a server with servers below it', () => {
  let server: TestServer;
  let below: Client;
  before(async () => {
    server = await TestServer.start();
    const spiffeId = { trustDomain: TRUST_DOMAIN, path: '/below' };
    await server.register({ spiffeId, downstream: true });
    below = await server.tcp(await minted(server, '/below'));
  });
  after(() => server.stop());

  const ask4ca = (options: Parameters<typeof makeCsr>[0], preferredTtl = 0) =>
    ask(below, SVIDService.newDownstreamX509Ca, {
      csr: Buffer.from(makeCsr({ uris: [TD], ...options })),
      preferredTtl,
    });

  test('A.1 X509-13 signs their CAs for the time that they prefer, below its own root', async () => {
    const key = makeKey();
    const answer = await ask4ca({ key }, 600);
    const [der] = answer.caCertChain;
    const ca = unwrap(parseCertificate(der!));
    assert.equal(answer.caCertChain.length, 1);
    assert.deepEqual(Buffer.from(ca.publicKey.spki), Buffer.from(key.spki));
    assert.deepEqual(ca.subjectAltName?.names, [{ kind: 'uri', text: TD }]);
    assert.equal(ca.basicConstraints?.ca, true);
    assert.equal(ca.notAfterMs - ca.notBeforeMs, 660_000);
    const root = unwrap(parseCertificate(answer.x509Authorities[0]!));
    assert.deepEqual(Buffer.from(ca.issuerDer), Buffer.from(root.subjectDer));
  });

  test('X509-26 gives none that outlives its own', async () => {
    const answer = await ask4ca({ key: makeKey() }, 2_000_000);
    const ca = unwrap(parseCertificate(answer.caCertChain[0]!));
    const root = unwrap(parseCertificate(answer.x509Authorities[0]!));
    assert.ok(ca.notAfterMs <= root.notAfterMs);
  });

  const refused: readonly [string, Parameters<typeof makeCsr>[0], string][] = [
    ['no name', { uris: [] }, 'DOWNSTREAM_CSR'],
    ['another trust domain', { uris: ['spiffe://other.org'] }, 'DOWNSTREAM_CSR'],
    ['a SPIFFE ID with a path', { uris: [`${TD}/ca`] }, 'DOWNSTREAM_CSR'],
    ['two names', { uris: [TD, TD] }, 'DOWNSTREAM_CSR'],
    ['a DNS name beside: a CA outside SPIFFE', { dnsNames: ['ca.corp'] }, 'DOWNSTREAM_CSR'],
    ['a weak key', { key: makeKey('rsa-1024') }, 'KEY_RSA_SIZE'],
    ['a key of an unusual kind', { key: makeKey('ec-p521') }, 'KEY_ALGORITHM'],
  ];
  for (const [name, options, code] of refused) {
    test(`refuses a request with ${name}`, async () => {
      // The codes of the table are what these are.
      await assertStatus(ask4ca(options), code as Parameters<typeof assertStatus>[1]);
    });
  }

  test('refuses a request that its key did not sign, and none at all', async () => {
    const csr = Buffer.from(makeCsr({ uris: [TD] }));
    csr[csr.length - 1]! ^= 1;
    const request = { csr, preferredTtl: 0 };
    await assertStatus(ask(below, SVIDService.newDownstreamX509Ca, request), 'SIGNATURE_INVALID');
    const empty = { csr: Buffer.alloc(0), preferredTtl: 0 };
    await assertStatus(ask(below, SVIDService.newDownstreamX509Ca, empty), 'FIELD_MISSING');
    await assertStatus(ask4ca({}, -1), 'TTL_RANGE');
  });

  test('A.1 refuses everybody else', async () => {
    const request = { csr: Buffer.from(makeCsr({ uris: [TD] })), preferredTtl: 0 };
    const workload = await server.tcp(await minted(server, '/workload'));
    for (const client of [server.admin(), await server.tcp(), workload]) {
      await assertStatus(
        ask(client, SVIDService.newDownstreamX509Ca, request),
        'CALLER_NOT_ALLOWED',
      );
    }
  });

  test('A.5 takes their JWT keys into the bundle that everybody gets', async () => {
    const jwtAuthority = {
      publicKey: Buffer.from(makeKey().spki),
      keyId: 'of-below',
      expiresAt: BigInt(Math.floor(Date.now() / 1000) + 3600),
      tainted: false,
    };
    const { jwtAuthorities } = await ask(below, BundleService.publishJwtAuthority, {
      jwtAuthority,
    });
    assert.ok(jwtAuthorities.some(({ keyId }) => keyId === 'of-below'));
    const other = { ...jwtAuthority, publicKey: Buffer.from(makeKey().spki) };
    const again = ask(below, BundleService.publishJwtAuthority, { jwtAuthority: other });
    await assertStatus(again, 'DOWNSTREAM_JWT_KEY');
    const none = ask(below, BundleService.publishJwtAuthority, { jwtAuthority: undefined });
    await assertStatus(none, 'FIELD_MISSING');
  });
});

describe('a server with a CA in files above it', () => {
  test('issues leaves that OpenSSL verifies to the root of the files', async () => {
    const root = makeRoot(TRUST_DOMAIN, { uris: [] });
    const middle = makeIntermediate(root);
    const probe = await TestServer.start();
    const { dir } = probe;
    const file = (name: string, text: string | Buffer): string => {
      writeFileSync(join(dir, name), text, { mode: 0o600 });
      return join(dir, name);
    };
    const disk = {
      certPath: file('ca.pem', middle.pem),
      keyPath: file('ca.key', middle.key.privateKey.export({ type: 'pkcs8', format: 'pem' })),
      bundlePath: file('roots.pem', root.pem),
    };
    const server = await TestServer.start({ upstream: { disk } });
    try {
      const { chain } = await minted(server, '/web');
      assert.equal(chain.length, 3);
      const [leaf, ...above] = chain.map((der) => encodePem('CERTIFICATE', der));
      const verified = await run('openssl', [
        'verify',
        '-x509_strict',
        '-CAfile',
        disk.bundlePath,
        '-untrusted',
        file('chain.pem', above.join('')),
        file('leaf.pem', leaf!),
      ]);
      assert.equal(verified.code, 0, verified.stderr);
      assert.equal(await server.bundlePem(), readFileSync(disk.bundlePath, 'utf8'));
    } finally {
      await server.stop();
      await probe.stop();
    }
  });
});
