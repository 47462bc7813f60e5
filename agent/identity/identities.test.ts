import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import { X509BundlesResponse, X509SVIDResponse } from '../../src/gen/workload.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { AGENT_TEST_DOMAIN, settle, TestAgentCa, wireEntry } from '../../test/support/agent-ca.ts';
import { assertValue } from '../../test/support/refused.ts';
import { Identities } from './identities.ts';
import { storeBundle } from './trust-bundle.ts';
import type { View } from './view.ts';

function setUp() {
  const clock = new ManualClock(Date.UTC(2030, 0, 1));
  const random = seededRandom(3);
  const ca = new TestAgentCa(() => clock.nowMs());
  const bad: string[] = [];
  const tainted: string[] = [];
  const identities = new Identities({
    trustDomain: AGENT_TEST_DOMAIN,
    x509: { clock, random, keyType: 'ec-p256', mint: ca.mintX509, onFailure: () => {} },
    jwt: { clock, random, mint: ca.mintJwt, maxTokens: 10, maxRequests: 10 },
    onBadAnswer: ({ message }) => bad.push(message),
    onOwnBundle: () => {},
    onTaint: (keyIds) => tainted.push(...keyIds),
  });
  const view = (...selectors: string[]): View =>
    identities.view({ key: selectors.join(), selectors });
  return { clock, ca, identities, bad, tainted, view };
}

function x509(view: View): X509SVIDResponse | undefined {
  const answer = view.answer('x509');
  return answer.kind === 'send' ? X509SVIDResponse.decode(answer.message.bytes) : undefined;
}

function federated(name: string): WireBundle {
  const domain = assertValue(parseTrustDomain(name));
  return WireBundle.decode(storeBundle(new TestAgentCa(() => 0, domain).bundle().bundle));
}

test('WLAPI-3 WLAPI-11 a message is the whole state, all fields but hint filled', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('b', { createdAt: 2n, hint: 'second' }), wireEntry('a')]);
  const mine = view('unix:uid:1000');
  await settle(() => mine.answer('x509').kind === 'send');
  const response = x509(mine);
  assert.deepEqual(
    response?.svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
    [
      ['spiffe://example.org/a', ''],
      ['spiffe://example.org/b', 'second'],
    ],
  );
  for (const svid of response?.svids ?? []) {
    assert.ok(svid.x509Svid.length > 0 && svid.x509SvidKey.length > 0);
    assert.deepEqual(svid.bundle, Buffer.from(ca.bundle().x509));
  }
});

test('WLAPI-5 what is as it was stays the same message; streams of equal workloads share it', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('a')]);
  const mine = view('unix:uid:1000');
  await settle(() => mine.answer('x509').kind === 'send');
  const before = (['x509', 'x509Bundles', 'jwtBundles'] as const).map((topic) =>
    mine.answer(topic),
  );
  identities.installBundle(ca.bundle(2n));
  identities.replaceEntries([wireEntry('a')]);
  identities.changeEntries([wireEntry('z', { selectors: [{ type: 'unix', value: 'uid:7' }] })], []);
  const after = (['x509', 'x509Bundles', 'jwtBundles'] as const).map((topic) => mine.answer(topic));
  for (const [index, answer] of before.entries()) assert.equal(after[index], answer);
  assert.equal(view('unix:uid:1000'), mine);
});

test('WLAPI-15 an entry taken away shows at once; the last one leaves nothing to serve', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('a'), wireEntry('b')]);
  const mine = view('unix:uid:1000');
  await settle(() => mine.answer('x509').kind === 'send');
  identities.changeEntries([], ['a']);
  assert.equal(x509(mine)?.svids.length, 1);
  identities.changeEntries([], ['b']);
  assert.equal(mine.answer('x509').kind, 'none');
});

test('an entry whose SVID is not there yet is waited for; one that is refused is not', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  ca.refused.add('b');
  identities.replaceEntries([wireEntry('a'), wireEntry('b')]);
  const mine = view('unix:uid:1000');
  assert.equal(mine.answer('x509').kind, 'wait');
  await settle(() => mine.answer('x509').kind === 'send');
  assert.deepEqual(
    x509(mine)?.svids.map(({ spiffeId }) => spiffeId),
    ['spiffe://example.org/a'],
  );
});

test('WLAPI-14 a first message waits for all, so that its default identity stays', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('b', { createdAt: 5n })]);
  await settle(() => identities.x509.size === 1);
  identities.changeEntries([wireEntry('a', { createdAt: 1n })], []);
  const mine = view('unix:uid:1000');
  assert.equal(mine.answer('x509').kind, 'wait');
  await settle(() => mine.answer('x509').kind === 'send');
  assert.equal(x509(mine)?.svids[0]?.spiffeId, 'spiffe://example.org/a');
});

test('a stream that has its message is not held up by a new entry', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('a'), wireEntry('c')]);
  const mine = view('unix:uid:1000');
  await settle(() => mine.answer('x509').kind === 'send');
  const ids = (): string[] | undefined =>
    x509(mine)?.svids.map(({ spiffeId }) => spiffeId.slice(-1));
  // What is taken away goes at once, though what is new is still on its way.
  identities.changeEntries([wireEntry('b')], ['a']);
  assert.deepEqual(ids(), ['c']);
  await settle(() => ids()?.length === 2);
  assert.deepEqual(ids(), ['b', 'c']);
});

test('WLAPI-19 WLAPI-37 federated bundles stand under spiffe://td, the own one never among them', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.setBundle(federated('other.org'));
  identities.setBundle(federated('unwanted.org'));
  identities.replaceEntries([wireEntry('a', { federatesWith: ['other.org', 'example.org'] })]);
  const mine = view('unix:uid:1000');
  await settle(() => mine.answer('x509').kind === 'send');
  assert.deepEqual(Object.keys(x509(mine)?.federatedBundles ?? {}), ['spiffe://other.org']);
  const bundles = mine.answer('x509Bundles');
  assert.ok(bundles.kind === 'send');
  assert.deepEqual(Object.keys(X509BundlesResponse.decode(bundles.message.bytes).bundles), [
    'spiffe://example.org',
    'spiffe://other.org',
  ]);
  identities.keepFederated(new Set(['unwanted.org']));
  assert.deepEqual(x509(mine)?.federatedBundles, {});
});

test('a bundle that cannot be read is left out, and the one held stays', () => {
  const { identities, ca, bad, view } = setUp();
  identities.installBundle(ca.bundle());
  const broken = federated('example.org');
  broken.x509Authorities.push({ asn1: Buffer.from('junk'), tainted: false });
  identities.setBundle(broken);
  assert.equal(bad.length, 1);
  const answer = view('unix:uid:1').answer('x509Bundles');
  assert.ok(answer.kind === 'send');
  assert.deepEqual(
    X509BundlesResponse.decode(answer.message.bytes).bundles['spiffe://example.org'],
    Buffer.from(ca.bundle().x509),
  );
});

test('an update that cannot be read takes the entry away rather than leave the old one', async () => {
  const { identities, ca, bad, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('a')]);
  await settle(() => identities.x509.size === 1);
  identities.changeEntries([wireEntry('a', { revisionNumber: 1n, selectors: [] })], []);
  assert.equal(view('unix:uid:1000').answer('x509').kind, 'none');
  assert.equal(bad.length, 1);
});

test('in quarantine nothing is served; afterwards everything is minted anew', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('a')]);
  const mine = view('unix:uid:1000');
  await settle(() => mine.answer('x509').kind === 'send');
  const before = x509(mine)?.svids[0]?.x509Svid;
  identities.quarantine(true);
  assert.equal(mine.answer('x509').kind, 'none');
  assert.deepEqual(mine.entries, []);
  identities.quarantine(false);
  await settle(() => mine.answer('x509').kind === 'send');
  assert.notDeepEqual(x509(mine)?.svids[0]?.x509Svid, before);
});

test('listeners hear of a change once, when all of it is done', async () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  const mine = view('unix:uid:1000');
  let heard = 0;
  const unsubscribe = mine.subscribe('x509', () => heard++);
  identities.changeEntries([wireEntry('a')], []);
  identities.changeEntries([wireEntry('b')], []);
  await Promise.resolve();
  assert.equal(heard, 1);
  await settle(() => identities.x509.size === 2);
  unsubscribe();
  const total = heard;
  identities.changeEntries([], ['a']);
  await Promise.resolve();
  assert.equal(heard, total);
});

test('a tainted authority in the bundle renews what it signed, the SVID of the agent too', async () => {
  const { identities, ca, tainted } = setUp();
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('a')]);
  await settle(() => identities.x509.size === 1);
  assert.deepEqual(tainted, []);
  const wire = WireBundle.decode(storeBundle(ca.bundle(2n).bundle));
  for (const authority of wire.x509Authorities) authority.tainted = true;
  identities.setBundle(wire);
  assert.deepEqual(tainted, [Buffer.from(ca.root.keyId).toString('hex')]);
  await settle(() => ca.x509Calls.length === 2);
  assert.deepEqual(ca.x509Calls[1], ['a']);
});

test('tokens are validated with the own bundle and those that the caller federates with', () => {
  const { identities, ca, view } = setUp();
  identities.installBundle(ca.bundle());
  identities.setBundle(federated('other.org'));
  identities.replaceEntries([wireEntry('a', { federatesWith: ['other.org'] })]);
  const other = assertValue(parseTrustDomain('other.org'));
  const registered = identities.bundleSource(view('unix:uid:1000'));
  assert.ok(registered(AGENT_TEST_DOMAIN) && registered(other));
  const unregistered = identities.bundleSource(view('unix:uid:1'));
  assert.ok(unregistered(AGENT_TEST_DOMAIN));
  assert.equal(unregistered(other), undefined);
});
