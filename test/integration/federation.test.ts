import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';

import { encodePem } from '../../src/der/pem.ts';
import { AgentSyncService, type ServerMessage } from '../../src/gen/signet/agent/v1/agent.ts';
import {
  BundleService,
  BatchDeleteFederatedBundleRequest_Mode as Mode,
} from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { TrustDomainService } from '../../src/gen/spire/api/server/trustdomain/v1/trustdomain.ts';
import type { Bundle } from '../../src/gen/spire/api/types/bundle.ts';
import type { FederationRelationship } from '../../src/gen/spire/api/types/federationrelationship.ts';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { soon } from '../support/processes.ts';
import {
  ask,
  assertStatus,
  open,
  TestServer,
  TRUST_DOMAIN,
  wireBundle,
} from '../support/server.ts';
import { makeLeaf, makeRoot } from '../support/x509.ts';

const OFF = { perSecond: 0 };
const limits = { attestation: OFF, anonymousConnections: OFF, agentCalls: OFF };
const OTHER = 'other.test';
const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });
const whole = { outputMask: undefined };

function relationship(extra: Partial<FederationRelationship> = {}): FederationRelationship {
  return {
    trustDomain: OTHER,
    bundleEndpointUrl: 'https://127.0.0.1:1/',
    bundleEndpointProfile: {
      $case: 'httpsSpiffe',
      value: { endpointSpiffeId: `spiffe://${OTHER}/spire/server` },
    },
    trustDomainBundle: undefined,
    ...extra,
  };
}

/** A call with one item in its batch: code and message of its status. */
class Calls {
  readonly admin: Client;

  constructor(admin: Client) {
    this.admin = admin;
  }

  async set(bundle: Bundle) {
    const request = { bundle: [bundle], ...whole };
    return (await ask(this.admin, BundleService.batchSetFederatedBundle, request)).results[0]!;
  }

  async remove(trustDomain: string, mode: Mode = Mode.RESTRICT) {
    const request = { trustDomains: [trustDomain], mode };
    const { results } = await ask(this.admin, BundleService.batchDeleteFederatedBundle, request);
    return results[0]?.status?.code;
  }

  get(trustDomain: string) {
    return ask(this.admin, BundleService.getFederatedBundle, { trustDomain, ...whole });
  }

  async create(one: FederationRelationship) {
    const request = { federationRelationships: [one], ...whole };
    const answer = await ask(
      this.admin,
      TrustDomainService.batchCreateFederationRelationship,
      request,
    );
    return answer.results[0]!;
  }

  async end(trustDomain: string) {
    const request = { trustDomains: [trustDomain] };
    const answer = await ask(
      this.admin,
      TrustDomainService.batchDeleteFederationRelationship,
      request,
    );
    return answer.results[0]!.status?.code;
  }

  refresh(trustDomain: string) {
    return ask(this.admin, TrustDomainService.refreshBundle, { trustDomain });
  }
}

describe('bundles of other trust domains', () => {
  let server: TestServer;
  let calls: Calls;
  before(async () => {
    server = await TestServer.start({ limits });
    calls = new Calls(server.admin());
  });
  after(() => server.stop());

  test('are created once, set over what is there, listed, counted and deleted', async () => {
    const { admin } = calls;
    const given = wireBundle(OTHER);
    const create = async (bundle: Bundle) => {
      const request = { bundle: [bundle], ...whole };
      const { results } = await ask(admin, BundleService.batchCreateFederatedBundle, request);
      return results[0]!;
    };
    assert.deepEqual((await create(given)).bundle, given);
    assert.equal((await create(given)).status?.code, 6);
    const newer = wireBundle(OTHER, { sequenceNumber: 2n ** 63n + 1n });
    assert.deepEqual((await calls.set(newer)).bundle, newer);
    assert.deepEqual(await calls.get(OTHER), newer);
    await calls.set(wireBundle('a.test'));
    const page = { ...whole, pageSize: 1, pageToken: '' };
    const first = await ask(admin, BundleService.listFederatedBundles, page);
    const rest = { ...page, pageToken: first.nextPageToken };
    const second = await ask(admin, BundleService.listFederatedBundles, rest);
    const names = [...first.bundles, ...second.bundles].map(({ trustDomain }) => trustDomain);
    assert.deepEqual(names, ['a.test', OTHER]);
    assert.equal((await ask(admin, BundleService.countBundles, {})).count, 3);
    assert.equal(await calls.remove('a.test'), 0);
    assert.equal(await calls.remove('a.test'), 5);
    await assertStatus(calls.get('a.test'), 'BUNDLE_NOT_FOUND');
  });

  test('an update changes what its mask names, and needs a bundle that is there', async () => {
    const held = (await calls.set(wireBundle(OTHER))).bundle!;
    const update = async (bundle: Bundle) => {
      const inputMask = {
        x509Authorities: false,
        jwtAuthorities: true,
        refreshHint: true,
        sequenceNumber: false,
        witAuthorities: false,
      };
      const request = { bundle: [bundle], inputMask, ...whole };
      const { results } = await ask(calls.admin, BundleService.batchUpdateFederatedBundle, request);
      return results[0]!;
    };
    const next = wireBundle(OTHER, { refreshHint: 7n, sequenceNumber: 9n, jwtAuthorities: [] });
    const updated = await update(next);
    assert.deepEqual(updated.bundle, { ...held, refreshHint: 7n, jwtAuthorities: [] });
    assert.equal((await update(wireBundle('nobody.test'))).status?.code, 5);
  });

  const refused: readonly [what: string, bundle: () => Bundle][] = [
    ['of the own trust domain', () => wireBundle(TRUST_DOMAIN)],
    ['without a trust domain', () => wireBundle(OTHER, { trustDomain: '' })],
    ['of a name in upper case', () => wireBundle(OTHER, { trustDomain: 'Other.test' })],
    [
      'with a certificate that is none',
      () => wireBundle(OTHER, { x509Authorities: [{ asn1: Buffer.from('x'), tainted: false }] }),
    ],
    [
      'with two certificates as one',
      () => {
        const [one] = wireBundle(OTHER).x509Authorities;
        const asn1 = Buffer.concat([one!.asn1, one!.asn1]);
        return wireBundle(OTHER, { x509Authorities: [{ asn1, tainted: false }] });
      },
    ],
    [
      'with two keys of one ID',
      () => {
        const keys = [wireBundle(OTHER), wireBundle(OTHER)].flatMap((one) => one.jwtAuthorities);
        return wireBundle(OTHER, { jwtAuthorities: keys });
      },
    ],
    [
      'with a key without an ID',
      () => {
        const [key] = wireBundle(OTHER).jwtAuthorities;
        return wireBundle(OTHER, { jwtAuthorities: [{ ...key!, keyId: '' }] });
      },
    ],
    ['with a negative refresh hint', () => wireBundle(OTHER, { refreshHint: -1n })],
  ];
  for (const [what, bundle] of refused) {
    test(`one ${what} is InvalidArgument`, async () => {
      assert.equal((await calls.set(bundle())).status?.code, 3);
    });
  }

  test('are listed by commands however long others make them', async () => {
    for (const i of [1, 2, 3, 4, 5]) {
      const [key] = wireBundle(OTHER).jwtAuthorities;
      const jwtAuthorities = [{ ...key!, keyId: 'k'.repeat(1_000_000) }];
      const trustDomainBundle = wireBundle(`long${i}.test`, { jwtAuthorities });
      const trustDomain = `long${i}.test`;
      assert.equal(
        (await calls.create(relationship({ trustDomain, trustDomainBundle }))).status?.code,
        0,
      );
    }
    for (const [room, list] of [
      ['bundle', 'bundles'],
      ['federation', 'federationRelationships'],
    ]) {
      const argv = [room!, 'list', '-o', 'json', '--server-socket', server.config.adminSocket.path];
      const { code, out, err } = await cli(commands, argv);
      assert.equal(code, 0, err);
      const names = (JSON.parse(out) as Record<string, { trustDomain: string }[]>)[list!]!;
      const long = names.filter(({ trustDomain }) => trustDomain.startsWith('long'));
      assert.equal(long.length, 5);
    }
    for (const i of [1, 2, 3, 4, 5]) {
      await calls.end(`long${i}.test`);
      await calls.remove(`long${i}.test`);
    }
  });

  test('one that entries federate with stays, or goes with them or from them', async () => {
    await calls.set(wireBundle('used.test'));
    const entry = await server.register({ spiffeId: td('/used'), federatesWith: ['used.test'] });
    assert.equal(await calls.remove('used.test'), 9);
    assert.equal(await calls.remove('used.test', Mode.DISSOCIATE), 0);
    const request = { id: entry.id, ...whole };
    const left = await ask(calls.admin, EntryService.getEntry, request);
    assert.deepEqual([left.federatesWith, left.revisionNumber], [[], 1n]);
    await calls.set(wireBundle('used.test'));
    const second = await server.register({ spiffeId: td('/two'), federatesWith: ['used.test'] });
    assert.equal(await calls.remove('used.test', Mode.DELETE), 0);
    const gone = ask(calls.admin, EntryService.getEntry, { id: second.id, ...whole });
    await assertStatus(gone, 'ENTRY_NOT_FOUND');
  });
});

describe('relationships', () => {
  let server: TestServer;
  let calls: Calls;
  before(async () => {
    server = await TestServer.start({ limits });
    calls = new Calls(server.admin());
  });
  after(() => server.stop());

  test('are created once, with their bundle, updated, listed and ended; the bundle stays', async () => {
    const { admin } = calls;
    const trustDomainBundle = wireBundle(OTHER);
    const made = await calls.create(relationship({ trustDomainBundle }));
    assert.equal(made.status?.code, 0);
    assert.deepEqual(made.federationRelationship, relationship({ trustDomainBundle }));
    assert.equal((await calls.create(relationship())).status?.code, 6);
    const inputMask = {
      bundleEndpointUrl: true,
      bundleEndpointProfile: false,
      trustDomainBundle: false,
    };
    const changed = relationship({
      bundleEndpointUrl: 'https://127.0.0.1:2/',
      bundleEndpointProfile: undefined,
    });
    const request = { federationRelationships: [changed], inputMask, ...whole };
    const update = () => ask(admin, TrustDomainService.batchUpdateFederationRelationship, request);
    const { results } = await update();
    const bundleEndpointUrl = 'https://127.0.0.1:2/';
    const now = relationship({ bundleEndpointUrl, trustDomainBundle });
    assert.deepEqual(results[0]?.federationRelationship, now);
    const page = { ...whole, pageSize: 0, pageToken: '' };
    const list = await ask(admin, TrustDomainService.listFederationRelationships, page);
    assert.deepEqual(list.federationRelationships, [now]);
    const masked = { trustDomain: OTHER, outputMask: { ...inputMask, bundleEndpointUrl: false } };
    const bare = await ask(admin, TrustDomainService.getFederationRelationship, masked);
    assert.deepEqual(bare, {
      trustDomain: OTHER,
      bundleEndpointUrl: '',
      bundleEndpointProfile: undefined,
      trustDomainBundle: undefined,
    });
    assert.equal(await calls.end(OTHER), 0);
    assert.equal(await calls.end(OTHER), 5);
    assert.equal((await update()).results[0]?.status?.code, 5);
    assert.deepEqual(await calls.get(OTHER), trustDomainBundle);
    await assertStatus(calls.refresh(OTHER), 'FEDERATION_NOT_FOUND');
  });

  const refused: readonly [what: string, one: Partial<FederationRelationship>][] = [
    ['with the own trust domain', { trustDomain: TRUST_DOMAIN }],
    ['without a trust domain', { trustDomain: '' }],
    ['with http', { bundleEndpointUrl: 'http://other.test/' }],
    ['with user information', { bundleEndpointUrl: 'https://me@other.test/' }],
    ['with empty user information', { bundleEndpointUrl: 'https://@other.test/' }],
    ['without a host', { bundleEndpointUrl: 'https:///x' }],
    ['without a URL', { bundleEndpointUrl: '' }],
    ['with a fragment', { bundleEndpointUrl: 'https://other.test/#x' }],
    ['with a line end in its URL', { bundleEndpointUrl: 'https://other.test/\n' }],
    ['without a profile', { bundleEndpointProfile: undefined }],
    [
      'without the SPIFFE ID of its endpoint',
      { bundleEndpointProfile: { $case: 'httpsSpiffe', value: { endpointSpiffeId: '' } } },
    ],
    [
      'with a trust domain as the ID of its endpoint',
      {
        bundleEndpointProfile: {
          $case: 'httpsSpiffe',
          value: { endpointSpiffeId: 'spiffe://other.test' },
        },
      },
    ],
    ['with the bundle of another one', { trustDomainBundle: wireBundle('third.test') }],
  ];
  for (const [what, one] of refused) {
    test(`one ${what} is InvalidArgument`, async () => {
      assert.equal((await calls.create(relationship(one))).status?.code, 3);
    });
  }
});

describe('agents', () => {
  test('are pushed the bundles that their entries federate with, and told which they keep', async (context) => {
    const server = await TestServer.start({ limits });
    context.after(() => server.stop());
    const calls = new Calls(server.admin());
    await calls.set(wireBundle('nobodys.test'));
    const first = (await calls.set(wireBundle(OTHER))).bundle;
    const agent = await server.attest();
    await server.register({
      spiffeId: td('/a'),
      parentId: td(agent.path),
      federatesWith: [OTHER],
    });
    const call = open(await server.tcp(agent), AgentSyncService.sync);
    const hello = {
      feedId: '',
      revision: 0n,
      bundleSequence: 0n,
      agentVersion: '',
      crlNumber: 0n,
      quarantined: false,
    };
    call.write({ kind: { $case: 'hello', value: hello } });
    const messages = call[Symbol.asyncIterator]() as AsyncIterator<ServerMessage>;
    const next = async () => (await messages.next()).value?.kind as ServerMessage['kind'];
    // Before the entries: the first thing that a workload is served has them.
    assert.deepEqual(await next(), { $case: 'bundle', value: first });
    assert.deepEqual(await next(), { $case: 'federation', value: { trustDomains: [OTHER] } });
    assert.equal((await next())?.$case, 'snapshot');
    assert.equal((await next())?.$case, 'bundle');
    const second = (await calls.set(wireBundle(OTHER, { sequenceNumber: 2n }))).bundle;
    assert.deepEqual(await next(), { $case: 'bundle', value: second });
    assert.equal(await calls.remove(OTHER, Mode.DISSOCIATE), 0);
    assert.equal((await next())?.$case, 'delta');
    assert.deepEqual(await next(), { $case: 'federation', value: { trustDomains: [] } });
    call.cancel();
  });

  test('may read federated bundles, as stock agents do', async (context) => {
    const server = await TestServer.start({ limits });
    context.after(() => server.stop());
    const given = (await new Calls(server.admin()).set(wireBundle(OTHER))).bundle;
    const client = await server.tcp(await server.attest());
    const read = (trustDomain: string) =>
      ask(client, BundleService.getFederatedBundle, { trustDomain, ...whole });
    assert.deepEqual(await read(OTHER), given);
    await assertStatus(read('nobody.test'), 'BUNDLE_NOT_FOUND');
    const refused = ask(client, BundleService.batchSetFederatedBundle, { bundle: [], ...whole });
    await assertStatus(refused, 'CALLER_NOT_ALLOWED');
  });
});

describe('two servers', () => {
  let a: TestServer;
  let b: TestServer;
  let calls: Calls;
  const endpoint = { address: '127.0.0.1', port: 0 };
  const urlOf = (server: TestServer) => `https://127.0.0.1:${server.running.bundleEndpointPort}/`;
  const bundleOf = (server: TestServer) => ask(server.admin(), BundleService.getBundle, whole);

  before(async () => {
    const federation = { bundleEndpoint: endpoint };
    b = await TestServer.start({ limits, trustDomain: OTHER, federation });
    const root = makeRoot('web.test');
    const leaf = makeLeaf(root, 'spiffe://web.test/web', {
      ips: [new Uint8Array([127, 0, 0, 1])],
    });
    const certificatePath = join(b.dir, 'cert.pem');
    const keyPath = join(b.dir, 'key.pem');
    const caPath = join(b.dir, 'ca.pem');
    writeFileSync(certificatePath, encodePem('CERTIFICATE', leaf.certificate.der));
    writeFileSync(caPath, encodePem('CERTIFICATE', root.certificate.der));
    const pem = leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(keyPath, pem);
    const bundleEndpoint = { ...endpoint, profile: 'https_web', certificatePath, keyPath };
    const fetch = { minInterval: '1s', caPath };
    a = await TestServer.start({ limits, federation: { bundleEndpoint, fetch } });
    calls = new Calls(a.admin());
  });
  after(async () => {
    await a?.stop();
    await b?.stop();
  });

  test('https_spiffe: the bundle is fetched by the one that was given to begin with', async () => {
    const current = await bundleOf(b);
    const trustDomainBundle = { ...current, sequenceNumber: 0n, jwtAuthorities: [] };
    const made = await calls.create(
      relationship({ bundleEndpointUrl: urlOf(b), trustDomainBundle }),
    );
    assert.equal(made.status?.code, 0);
    await calls.refresh(OTHER);
    const fetched = await calls.get(OTHER);
    // What a document does not say is not known: when JWT keys end.
    const expected = current.jwtAuthorities.map((key) => ({ ...key, expiresAt: 0n }));
    assert.deepEqual(fetched, { ...current, jwtAuthorities: expected });
  });

  test('https_spiffe: an endpoint with another ID is refused, and nothing is changed', async () => {
    const held = await calls.get(OTHER);
    const value = { endpointSpiffeId: `spiffe://${OTHER}/another` };
    const wrong = relationship({
      bundleEndpointUrl: urlOf(b),
      bundleEndpointProfile: { $case: 'httpsSpiffe', value },
    });
    const request = { federationRelationships: [wrong], inputMask: undefined, ...whole };
    await ask(calls.admin, TrustDomainService.batchUpdateFederationRelationship, request);
    await assertStatus(calls.refresh(OTHER), 'FEDERATION_ENDPOINT_UNTRUSTED');
    assert.deepEqual(await calls.get(OTHER), held);
    await calls.end(OTHER);
  });

  test('https_spiffe: without a bundle to know the endpoint by nothing is fetched', async () => {
    await calls.remove(OTHER);
    await calls.create(relationship({ bundleEndpointUrl: urlOf(b) }));
    await assertStatus(calls.refresh(OTHER), 'FEDERATION_ENDPOINT_BUNDLE');
    // It comes as soon as it can: the operator brings it, and the server tries again.
    await calls.set({ ...(await bundleOf(b)), sequenceNumber: 0n });
    await calls.refresh(OTHER);
    assert.ok((await calls.get(OTHER)).sequenceNumber > 0n);
    await calls.end(OTHER);
  });

  test('https_web: by host name and CA, from certificate files', async (context) => {
    const fetch = { caPath: join(b.dir, 'ca.pem') };
    const third = await TestServer.start({
      limits,
      trustDomain: 'third.test',
      federation: { fetch },
    });
    context.after(() => third.stop());
    const of = new Calls(third.admin());
    const web = { $case: 'httpsWeb', value: {} } as const;
    const one = { trustDomain: TRUST_DOMAIN, bundleEndpointProfile: web };
    await of.create(relationship({ ...one, bundleEndpointUrl: urlOf(a) }));
    await soon(async () => {
      const { count } = await ask(third.admin(), BundleService.countBundles, {});
      return count === 2;
    });
    const held = await of.get(TRUST_DOMAIN);
    assert.equal(held.sequenceNumber, (await bundleOf(a)).sequenceNumber);
    // The SVID of the other endpoint has neither that CA nor the host's name.
    const spiffe = { ...one, trustDomain: OTHER, bundleEndpointUrl: urlOf(b) };
    await of.create(relationship(spiffe));
    await assertStatus(of.refresh(OTHER), 'FEDERATION_ENDPOINT_UNTRUSTED');
  });

  test('a relationship is followed again after a restart', async () => {
    await calls.remove(OTHER);
    const trustDomainBundle = { ...(await bundleOf(b)), sequenceNumber: 0n };
    await a.halt();
    await a.restart();
    calls = new Calls(a.admin());
    await calls.create(relationship({ bundleEndpointUrl: urlOf(b), trustDomainBundle }));
    await calls.refresh(OTHER);
    await calls.set(trustDomainBundle);
    await a.restart();
    calls = new Calls(a.admin());
    await soon(async () => (await calls.get(OTHER)).sequenceNumber > 0n);
  });
});
