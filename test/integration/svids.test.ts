import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { basicConstraintsExtension } from '../../src/x509/extension-writer.ts';
import { assertValue } from '../support/refused.ts';
import { ask, assertStatus, type TestAgent, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

const OFF = { perSecond: 0 };
const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });

let server: TestServer;
let admin: Client;
let agent: TestAgent;
let client: Client;
let entryId: string;

before(async () => {
  server = await TestServer.start({
    limits: { attestation: OFF, anonymousConnections: OFF, agentCalls: OFF, agentSignatures: OFF },
  });
  admin = server.admin();
  agent = await server.attest();
  client = await server.tcp(agent);
  entryId = (
    await server.register({
      spiffeId: td('/web'),
      parentId: td(agent.path),
      dnsNames: ['web.example.org'],
      hint: 'internal',
      x509SvidTtl: 600,
    })
  ).id;
});

after(() => server.stop());

function batch(...params: readonly { entryId: string; csr: Uint8Array }[]) {
  const request = { params: params.map((item) => ({ ...item, csr: Buffer.from(item.csr) })) };
  return ask(client, SVIDService.batchNewX509Svid, request);
}

const leafOf = (chain: readonly Uint8Array[]) => assertValue(parseCertificate(chain[0]!));

describe('BatchNewX509SVID', () => {
  test("signs the request's key under the entry's SPIFFE ID, names and lifetime", async () => {
    const key = makeKey();
    const { results } = await batch({ entryId, csr: makeCsr({ key }) });
    const [result] = results;
    assert.equal(result?.status?.code, 0);
    assert.deepEqual(result.svid?.id, td('/web'));
    assert.equal(result.svid?.hint, 'internal');
    const leaf = leafOf(result.svid!.certChain);
    assert.deepEqual(leaf.publicKey.spki, new Uint8Array(key.spki));
    assert.deepEqual(leaf.subjectAltName?.names, [
      { kind: 'uri', text: `spiffe://${TRUST_DOMAIN}/web` },
      { kind: 'dns', text: 'web.example.org' },
    ]);
    assert.equal(leaf.notAfterMs / 1000, Number(result.svid!.expiresAt));
    assert.equal(leaf.notAfterMs - leaf.notBeforeMs, (600 + 60) * 1000);
  });

  test('SPI-01-004 E10 what the request asks for beside its key has no effect', async () => {
    const csr = makeCsr({
      uris: [`spiffe://${TRUST_DOMAIN}/spire/server`, 'spiffe://other.test/x'],
      dnsNames: ['evil.test'],
      extraExtensions: [basicConstraintsExtension(true)],
    });
    const { results } = await batch({ entryId, csr });
    const leaf = leafOf(results[0]!.svid!.certChain);
    assert.equal(leaf.basicConstraints?.ca, false);
    assert.deepEqual(
      leaf.subjectAltName?.names.map((name) => 'text' in name && name.text),
      [`spiffe://${TRUST_DOMAIN}/web`, 'web.example.org'],
    );
  });

  test('A.3.1 A.3.2 answers in order, equally long, each item with its own status', async () => {
    const stranger = await server.attest();
    const foreign = await server.register({
      spiffeId: td('/foreign'),
      parentId: td(stranger.path),
    });
    const good = makeCsr();
    const forged = makeCsr({ key: makeKey(), signer: makeKey() });
    const truncated = good.subarray(0, good.length - 1);
    const { results } = await batch(
      { entryId, csr: good },
      { entryId: 'none', csr: good },
      { entryId, csr: forged },
      { entryId: foreign.id, csr: good },
      { entryId, csr: truncated },
      { entryId, csr: new Uint8Array() },
      { entryId, csr: makeCsr({ key: makeKey('ec-p521') }) },
      { entryId, csr: makeCsr({ key: makeKey('ec-p384') }) },
    );
    assert.deepEqual(
      results.map(({ status, svid }) => [status?.code, svid === undefined]),
      [
        [0, false],
        [5, true],
        [3, true],
        [5, true],
        [3, true],
        [3, true],
        [3, true],
        [0, false],
      ],
    );
  });

  test('an off-curve point is refused as its item, and the process goes on', async () => {
    const key = makeKey();
    const spki = Uint8Array.from(key.spki);
    spki[spki.length - 1]! ^= 1;
    const { results } = await batch({ entryId, csr: makeCsr({ key, spki }) });
    assert.equal(results[0]?.status?.code, 3);
  });

  test('takes 500 requests and refuses 501 as a whole; none is an empty answer', async () => {
    const csr = makeCsr();
    const many = (count: number) => Array.from({ length: count }, () => ({ entryId, csr }));
    const { results } = await batch(...many(500));
    assert.ok(results.length === 500 && results.every(({ status }) => status?.code === 0));
    const serials = new Set(results.map(({ svid }) => leafOf(svid!.certChain).serialDecimal));
    assert.equal(serials.size, 500);
    await assertStatus(batch(...many(501)), 'BATCH_TOO_LARGE');
    assert.deepEqual((await batch()).results, []);
  });

  test('a deleted or expired entry gives NotFound at once', async () => {
    const gone = await server.register({ spiffeId: td('/gone'), parentId: td(agent.path) });
    await ask(admin, EntryService.batchDeleteEntry, { ids: [gone.id] });
    const expired = await server.register({
      spiffeId: td('/expired'),
      parentId: td(agent.path),
      expiresAt: 1n,
    });
    const csr = makeCsr();
    const { results } = await batch({ entryId: gone.id, csr }, { entryId: expired.id, csr });
    assert.deepEqual(
      results.map(({ status }) => status?.code),
      [5, 5],
    );
  });
});

describe('NewJWTSVID', () => {
  const ask1 = (audience: string[], id = entryId) =>
    ask(client, SVIDService.newJwtsvid, { entryId: id, audience });

  test("is signed by a key of the bundle, for the entry's SPIFFE ID, with ordered times", async () => {
    const { svid } = await ask1(['db', 'cache']);
    assert.deepEqual(svid?.id, td('/web'));
    assert.ok(svid.issuedAt > 0n && svid.expiresAt > svid.issuedAt);
    const [header, claims, signature] = svid.token.split('.');
    const { kid, alg } = JSON.parse(Buffer.from(header!, 'base64url').toString());
    assert.equal(alg, 'ES256');
    const bundle = await ask(admin, BundleService.getBundle, { outputMask: undefined });
    const key = bundle.jwtAuthorities.find(({ keyId }) => keyId === kid);
    assert.ok(key);
    const publicKey = createPublicKey({ key: key.publicKey, format: 'der', type: 'spki' });
    const input = Buffer.from(`${header}.${claims}`);
    const options = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
    assert.ok(verify('sha256', input, options, Buffer.from(signature!, 'base64url')));
    assert.deepEqual(JSON.parse(Buffer.from(claims!, 'base64url').toString()), {
      sub: `spiffe://${TRUST_DOMAIN}/web`,
      aud: ['db', 'cache'],
      iat: Number(svid.issuedAt),
      exp: Number(svid.expiresAt),
    });
  });

  test('refuses no audience, an empty one, too many and too long ones', async () => {
    await assertStatus(ask1([]), 'AUDIENCE_EMPTY');
    await assertStatus(ask1(['']), 'AUDIENCE_EMPTY');
    await ask1(Array.from({ length: 32 }, (_, index) => `a${index}`));
    await assertStatus(
      ask1(Array.from({ length: 33 }, (_, index) => `a${index}`)),
      'AUDIENCE_TOO_MANY',
    );
    await ask1(['a'.repeat(8192)]);
    await assertStatus(ask1(['a'.repeat(8193)]), 'AUDIENCE_INVALID');
  });

  test('embeds an audience once that is asked for twice', async () => {
    const { svid } = await ask1(['db', 'cache', 'db']);
    const [, claims] = svid!.token.split('.');
    const { aud } = JSON.parse(Buffer.from(claims!, 'base64url').toString());
    assert.deepEqual(aud, ['db', 'cache']);
  });

  test('refuses the entry of another node and an unknown one alike', async () => {
    const stranger = await server.attest();
    const foreign = await server.register({ spiffeId: td('/jwt'), parentId: td(stranger.path) });
    const errors = [
      await assertStatus(ask1(['db'], foreign.id), 'ENTRY_NOT_AUTHORIZED'),
      await assertStatus(ask1(['db'], 'none'), 'ENTRY_NOT_AUTHORIZED'),
    ];
    assert.equal(errors[0]?.details, errors[1]?.details);
  });
});

describe('minting by operators', () => {
  const mint = (csr: Uint8Array, ttl = 0) =>
    ask(admin, SVIDService.mintX509Svid, { csr: Buffer.from(csr), ttl });

  test('takes the SPIFFE ID and the DNS names from the request', async () => {
    const csr = makeCsr({ uris: [`spiffe://${TRUST_DOMAIN}/minted`], dnsNames: ['m.example.org'] });
    const { svid } = await mint(csr, 1200);
    const leaf = leafOf(svid!.certChain);
    assert.deepEqual(
      leaf.subjectAltName?.names.map((name) => 'text' in name && name.text),
      [`spiffe://${TRUST_DOMAIN}/minted`, 'm.example.org'],
    );
    assert.equal(leaf.notAfterMs - leaf.notBeforeMs, (1200 + 60) * 1000);
  });

  test('refuses requests without one mintable SPIFFE ID', async () => {
    const uris = (...list: string[]) => mint(makeCsr({ uris: list }));
    await assertStatus(uris(), 'FIELD_INVALID');
    await assertStatus(uris('spiffe://example.org/a', 'spiffe://example.org/b'), 'FIELD_INVALID');
    await assertStatus(uris('https://example.org/a'), 'SPIFFE_ID_SCHEME');
    await assertStatus(uris('spiffe://other.test/a'), 'GRANT_SPIFFE_ID');
    await assertStatus(uris('spiffe://example.org/spire/server'), 'GRANT_SPIFFE_ID');
    await assertStatus(uris('spiffe://example.org'), 'GRANT_SPIFFE_ID');
    await assertStatus(mint(new Uint8Array()), 'FIELD_MISSING');
    await assertStatus(mint(Buffer.from('not a request')), 'DER_TAG');
    await assertStatus(mint(makeCsr({ uris: ['spiffe://example.org/a'] }), -1), 'TTL_RANGE');
  });

  test('mints JWT-SVIDs, with the same limits on IDs and audiences', async () => {
    const jwt = (path: string, audience: string[], ttl = 0) =>
      ask(admin, SVIDService.mintJwtsvid, { id: td(path), audience, ttl });
    const { svid } = await jwt('/minted', ['db'], 33);
    assert.equal(svid!.expiresAt - svid!.issuedAt, 33n);
    await assertStatus(jwt('/spire/agent/x', ['db']), 'GRANT_SPIFFE_ID');
    await assertStatus(jwt('/minted', []), 'AUDIENCE_EMPTY');
    const without = ask(admin, SVIDService.mintJwtsvid, { id: undefined, audience: ['a'], ttl: 0 });
    await assertStatus(without, 'FIELD_MISSING');
  });
});

describe('GetBundle', () => {
  test('is for anyone, and the mask leaves out what it does not name', async () => {
    const anonymous = await server.tcp();
    const whole = await ask(anonymous, BundleService.getBundle, { outputMask: undefined });
    assert.equal(whole.trustDomain, TRUST_DOMAIN);
    assert.equal(whole.x509Authorities.length, 1);
    assert.equal(whole.jwtAuthorities.length, 1);
    const outputMask = {
      x509Authorities: false,
      jwtAuthorities: true,
      refreshHint: false,
      sequenceNumber: true,
      witAuthorities: false,
    };
    const masked = await ask(anonymous, BundleService.getBundle, { outputMask });
    assert.deepEqual(masked, { ...whole, x509Authorities: [], refreshHint: 0n });
  });

  test('A.3.9 a federated bundle is NotFound, a malformed name is refused', async () => {
    const federated = (trustDomain: string) =>
      ask(client, BundleService.getFederatedBundle, { trustDomain, outputMask: undefined });
    await assertStatus(federated('other.test'), 'BUNDLE_NOT_FOUND');
    await assertStatus(federated('spiffe://other.test'), 'BUNDLE_NOT_FOUND');
    await assertStatus(federated('Other Test'), 'TRUST_DOMAIN_CHARACTER');
  });
});
