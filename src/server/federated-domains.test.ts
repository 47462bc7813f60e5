import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { FakeKube } from '../../test/support/fake-kube.ts';
import { soon } from '../../test/support/processes.ts';
import { ask, TestServer, wireBundle } from '../../test/support/server.ts';
import { makeRoot } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import { BundleService } from '../gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../gen/spire/api/server/entry/v1/entry.ts';
import { TrustDomainService } from '../gen/spire/api/server/trustdomain/v1/trustdomain.ts';
import { objectsAt, textAt } from '../kube/objects.ts';
import { emptyBundle } from '../spiffe/bundle.ts';
import { formatSpiffeBundle } from '../spiffe/bundle-format.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';

const DOMAINS = '/apis/spire.spiffe.io/v1alpha1/clusterfederatedtrustdomains';
const EVENTS = '/api/v1/namespaces/default/events';

/** A bundle document as operators paste it into an object. */
function documentOf(trustDomain: string, sequence: bigint): string {
  const { certificate } = makeRoot(trustDomain);
  const x509Authorities = [{ certificate, tainted: false }];
  const bundle = { ...emptyBundle(unwrap(parseTrustDomain(trustDomain))), x509Authorities };
  return Buffer.from(unwrap(formatSpiffeBundle({ ...bundle, sequence }))).toString();
}

/** An object whose endpoint nobody answers at. */
const object = (name: string, trustDomain: string, spec: object = {}): object => ({
  metadata: { name, creationTimestamp: '2030-01-01T00:00:00Z', generation: 1 },
  spec: {
    trustDomain,
    bundleEndpointURL: 'https://127.0.0.1:1/',
    bundleEndpointProfile: { type: 'https_web' },
    trustDomainBundle: documentOf(trustDomain, 7n),
    ...spec,
  },
});

async function start(context: TestContext, rules: object = {}, count = 1) {
  const fakes: FakeKube[] = [];
  for (let made = 0; made < count; made++) fakes.push(await FakeKube.start());
  const server = await TestServer.start({
    kubernetes: {
      clusters: fakes.map(({ kubeconfigPath }, index) => {
        return { name: `rack-${index}`, kubeconfigPath, rules };
      }),
    },
  });
  context.after(async () => {
    await server.stop();
    for (const fake of fakes) await fake.stop();
  });
  const [fake = assert.fail()] = fakes;
  return { fake, fakes, server };
}

async function relationships(server: TestServer): Promise<readonly string[]> {
  const page = { outputMask: undefined, pageSize: 0, pageToken: '' };
  const listed = await ask(server.admin(), TrustDomainService.listFederationRelationships, page);
  return listed.federationRelationships.map((one) => `${one.trustDomain} ${one.bundleEndpointUrl}`);
}

async function bundles(server: TestServer): Promise<readonly string[]> {
  const page = { outputMask: undefined, pageSize: 0, pageToken: '' };
  const listed = await ask(server.admin(), BundleService.listFederatedBundles, page);
  return listed.bundles.map((one) => `${one.trustDomain} ${one.sequenceNumber}`);
}

const same = (a: readonly string[], ...b: readonly string[]): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

const URL = 'https://127.0.0.1:1/';

describe('ClusterFederatedTrustDomains', () => {
  test('make relationships with their bundle, which go with them and from entries', async (context) => {
    const { fake, server } = await start(context);
    fake.put(DOMAINS, object('one', 'a.test'));
    await soon(async () => same(await relationships(server), `a.test ${URL}`));
    assert.deepEqual(await bundles(server), ['a.test 7']);
    const { id } = await server.register({ federatesWith: ['a.test'] });
    const spec = { bundleEndpointURL: 'https://127.0.0.1:2/' };
    fake.put(DOMAINS, object('one', 'a.test', spec));
    await soon(async () => same(await relationships(server), 'a.test https://127.0.0.1:2/'));
    fake.remove(DOMAINS, 'one');
    await soon(async () => same(await bundles(server)));
    assert.deepEqual(await relationships(server), []);
    const entry = await ask(server.admin(), EntryService.getEntry, { id, outputMask: undefined });
    assert.deepEqual(entry.federatesWith, []);
  });

  test('that vanish while the server is down are found then, and none by an outage', async (context) => {
    const { fake, server } = await start(context);
    fake.put(DOMAINS, object('one', 'a.test'));
    fake.put(DOMAINS, object('two', 'b.test'));
    await soon(async () => same(await relationships(server), `a.test ${URL}`, `b.test ${URL}`));
    await server.halt();
    fake.remove(DOMAINS, 'two');
    let refused = 0;
    fake.fault = ({ path }) => {
      if (path !== DOMAINS) return undefined;
      refused++;
      return { status: [403, 404, 500][refused % 3] ?? 500 };
    };
    await server.restart();
    await soon(async () => refused >= 2);
    assert.deepEqual(await relationships(server), [`a.test ${URL}`, `b.test ${URL}`]);
    fake.fault = () => undefined;
    await soon(async () => same(await relationships(server), `a.test ${URL}`));
    assert.deepEqual(await bundles(server), ['a.test 7']);
    // A watch that breaks, and a list that is refused after it, take nothing away.
    refused = 0;
    fake.fault = ({ path }) => {
      if (path !== DOMAINS) return undefined;
      refused++;
      return { status: 410 };
    };
    fake.endWatches('reset');
    await soon(async () => refused >= 2);
    assert.deepEqual(await relationships(server), [`a.test ${URL}`]);
  });

  test('leave alone what an operator made, and take its place when he ends it', async (context) => {
    const { fake, server } = await start(context);
    const theirs = {
      trustDomain: 'a.test',
      bundleEndpointUrl: 'https://theirs.test/',
      bundleEndpointProfile: { $case: 'httpsWeb', value: {} } as const,
      trustDomainBundle: wireBundle('a.test', { sequenceNumber: 3n }),
    };
    await ask(server.admin(), TrustDomainService.batchCreateFederationRelationship, {
      federationRelationships: [theirs],
      outputMask: undefined,
    });
    fake.put(DOMAINS, object('one', 'a.test'));
    fake.put(DOMAINS, object('two', 'b.test'));
    const kept = 'a.test https://theirs.test/';
    await soon(async () => same(await relationships(server), kept, `b.test ${URL}`));
    fake.remove(DOMAINS, 'one');
    fake.remove(DOMAINS, 'two');
    await soon(async () => same(await relationships(server), kept));
    fake.put(DOMAINS, object('one', 'a.test'));
    await ask(server.admin(), TrustDomainService.batchDeleteFederationRelationship, {
      trustDomains: ['a.test'],
    });
    await soon(async () => same(await relationships(server), `a.test ${URL}`));
    assert.deepEqual(await bundles(server), ['a.test 3'], 'his bundle stays');
  });

  test('have a status that says how they stand, where its definition has room', async (context) => {
    const { fake, server } = await start(context, { status: { leaseNamespace: 'signet' } });
    fake.put(DOMAINS, object('good', 'a.test'));
    fake.put(DOMAINS, object('own', 'example.org'));
    fake.put(DOMAINS, object('z-late', 'a.test', { className: '' }));
    const said = (name: string, type: string): string => {
      const conditions = objectsAt(fake.object(DOMAINS, name) ?? {}, 'status', 'conditions');
      const one = conditions.find((each) => textAt(each, 'type') === type) ?? {};
      return ['status', 'reason', 'message'].map((field) => textAt(one, field)).join(' ');
    };
    await soon(async () => said('good', 'BundleFetched').includes('FEDERATION_ENDPOINT'));
    assert.match(said('good', 'Ready'), /^True InForce/);
    assert.match(
      said('good', 'BundleFetched'),
      /^False Failed .*\(FEDERATION_ENDPOINT_UNREACHABLE\)/,
    );
    const sequence = () =>
      textAt(fake.object(DOMAINS, 'good') ?? {}, 'status', 'bundleSequence') === '7';
    await soon(async () => sequence());
    await soon(async () => said('own', 'Ready').includes('(FEDERATION_OWN_DOMAIN)'));
    await soon(async () => said('z-late', 'Ready').startsWith('False Claimed'));
    assert.deepEqual(await relationships(server), [`a.test ${URL}`]);
    assert.equal(fake.calls.filter(({ path }) => path === EVENTS).length, 0);
  });

  test('of another class, or of a cluster of limited rules, are left alone', async (context) => {
    const { fake, server } = await start(context);
    fake.put(DOMAINS, object('theirs', 'a.test', { className: 'theirs' }));
    fake.put(DOMAINS, object('ours', 'b.test'));
    await soon(async () => same(await relationships(server), `b.test ${URL}`));
    const limited = await start(context, { pathPrefixes: ['/rack'] });
    limited.fake.put(DOMAINS, object('one', 'a.test'));
    await limited.fake.whenWatching(1);
    assert.ok(limited.fake.calls.every(({ path }) => path !== DOMAINS));
  });
});
