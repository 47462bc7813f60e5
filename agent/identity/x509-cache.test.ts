import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import {
  AGENT_TEST_DOMAIN,
  quiet,
  settle,
  TestAgentCa,
  wireEntry,
} from '../../test/support/agent-ca.ts';
import { assertValue } from '../../test/support/refused.ts';
import { readEntry } from './entry.ts';
import { EntrySet } from './entry-set.ts';
import { MAX_BATCH } from './mint-queue.ts';
import { X509Cache } from './x509-cache.ts';

const START_MS = Date.UTC(2030, 0, 1);
const HALF_MS = 1_800_000;

function setUp() {
  const clock = new ManualClock(START_MS);
  const ca = new TestAgentCa(() => clock.nowMs());
  const changes: string[] = [];
  const failures: string[] = [];
  const minted: string[] = [];
  const cache = new X509Cache({
    clock,
    random: seededRandom(3),
    keyType: 'ec-p256',
    mint: ca.mintX509,
    onChange: (ids) => changes.push(...ids),
    onFailure: (entry, error) => failures.push(`${entry.id} ${error.code}`),
    onMinted: ({ id }, _svid, missedMs) => minted.push(`${id} ${missedMs}`),
  });
  const entries = new EntrySet();
  const put = (...wires: Entry[]): void => {
    const read = wires.map((wire) => assertValue(readEntry(wire, AGENT_TEST_DOMAIN)));
    cache.apply(entries.apply(read, []));
  };
  const remove = (...ids: string[]): void => cache.apply(entries.apply([], ids));
  const serial = (id: string): string | undefined => cache.get(id)?.serial;
  const renewed = async (id: string, before: string | undefined): Promise<void> => {
    await settle(() => serial(id) !== before);
    assert.notEqual(serial(id), before);
  };
  return { clock, ca, cache, changes, failures, minted, put, remove, serial, renewed };
}

test('the entries of one message are minted at once, in one call', async () => {
  const { cache, ca, put, changes } = setUp();
  put(wireEntry('a'), wireEntry('b'), wireEntry('c'));
  assert.ok(cache.isPending('a'));
  await settle(() => cache.size === 3);
  assert.deepEqual(ca.x509Calls, [['a', 'b', 'c']]);
  assert.deepEqual(changes, ['a', 'b', 'c']);
  assert.equal(cache.get('b')?.spiffeId.uri, 'spiffe://example.org/b');
  assert.ok(!cache.isPending('a'));
});

test('it is told how long an SVID was missing: from its entry on, over failures, and not at renewals', async () => {
  const { clock, cache, ca, put, remove, minted, failures, serial, renewed } = setUp();
  ca.down = true;
  put(wireEntry('a'));
  await settle(() => failures.length === 1);
  clock.advance(400);
  ca.down = false;
  cache.recheck();
  await settle(() => cache.size === 1);
  assert.deepEqual(minted, ['a 400']);
  const first = serial('a');
  clock.advance(HALF_MS);
  await renewed('a', first);
  assert.deepEqual(minted, ['a 400', 'a undefined']);
  remove('a');
  clock.advance(1000);
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  assert.deepEqual(minted, ['a 400', 'a undefined', 'a 0']);
});

test('calls hold at most 500 requests', async () => {
  const { cache, ca, put } = setUp();
  const count = MAX_BATCH + 1;
  put(...Array.from({ length: count }, (_, index) => wireEntry(`e${index}`)));
  await settle(() => cache.size === count);
  assert.deepEqual(ca.x509Calls.map((call) => call.length).sort(), [1, MAX_BATCH]);
});

test('an SVID is renewed at half its life by one timer, the old one serving meanwhile', async () => {
  const { clock, cache, ca, put, serial, renewed } = setUp();
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  const first = serial('a');
  clock.advance(HALF_MS * 0.89);
  await quiet();
  assert.equal(ca.x509Calls.length, 1);
  clock.advance(HALF_MS * 0.11);
  assert.equal(serial('a'), first);
  await renewed('a', first);
});

test('one refused entry does not hold up the others; it is tried again, later each time', async () => {
  const { clock, cache, ca, put, changes, failures } = setUp();
  ca.refused.add('b');
  put(wireEntry('a'), wireEntry('b'), wireEntry('c'));
  await settle(() => failures.length === 1);
  assert.deepEqual(failures, ['b AGENT_SERVER_REFUSED']);
  // Those who wait for b are told that it does not come now.
  assert.deepEqual(changes, ['a', 'b', 'c']);
  assert.ok(!cache.isPending('b'));
  clock.advance(500);
  await settle(() => ca.x509Calls.length === 2);
  await settle(() => failures.length === 2);
  assert.deepEqual(ca.x509Calls[1], ['b']);
  clock.advance(499);
  assert.equal(ca.x509Calls.length, 2);
  ca.refused.clear();
  clock.advance(501);
  await settle(() => cache.get('b') !== undefined);
  assert.ok(cache.get('b'));
});

test('G10 an outage costs nothing before an SVID is over; then it is served no more', async () => {
  const { clock, cache, ca, put, changes } = setUp();
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  ca.down = true;
  changes.length = 0;
  for (let minute = 0; minute < 59; minute++) {
    clock.advance(60_000);
    await quiet();
    assert.ok(cache.get('a'), `minute ${minute}`);
  }
  for (let second = 0; second < 90 && cache.get('a'); second++) {
    clock.advance(1000);
    await quiet();
  }
  assert.equal(cache.get('a'), undefined);
  assert.ok(clock.nowMs() <= START_MS + 3_600_000 + 2000);
  assert.ok(changes.includes('a'));
  ca.down = false;
  cache.recheck();
  await settle(() => cache.size === 1);
  assert.equal(cache.size, 1);
});

test('C3 after a jump of the clock what is over is dropped and asked for at once', async () => {
  const { clock, cache, ca, put } = setUp();
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  clock.setWallClock(START_MS + 8 * 3_600_000);
  cache.recheck();
  assert.equal(cache.get('a'), undefined);
  await settle(() => cache.size === 1);
  assert.equal(ca.x509Calls.length, 2);
});

test('a changed entry is minted anew; its old SVID serves unless the SPIFFE ID changed', async () => {
  const { cache, ca, put, serial, renewed } = setUp();
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  const first = serial('a');
  put(wireEntry('a', { revisionNumber: 1n, dnsNames: ['a.example'] }));
  assert.equal(serial('a'), first);
  await renewed('a', first);
  const moved = wireEntry('a', {
    revisionNumber: 2n,
    spiffeId: { trustDomain: 'example.org', path: '/moved' },
  });
  ca.register(moved);
  put(moved);
  assert.equal(serial('a'), undefined);
  await settle(() => cache.size === 1);
  assert.equal(cache.get('a')?.spiffeId.uri, 'spiffe://example.org/moved');
});

test('an answer that an entry outlived is thrown away', async () => {
  const { cache, ca, put, remove, failures } = setUp();
  put(wireEntry('a'), wireEntry('b'));
  await settle(() => ca.x509Calls.length === 1);
  remove('a');
  put(wireEntry('b', { revisionNumber: 1n }));
  await settle(() => ca.x509Calls.length === 2 && cache.get('b') !== undefined);
  assert.equal(cache.get('a'), undefined);
  assert.deepEqual(ca.x509Calls[1], ['b']);
  assert.deepEqual(failures, []);
});

test('Taint and Revoke renew what they name, at once, and nothing else', async () => {
  const { cache, ca, put, serial, renewed } = setUp();
  put(wireEntry('a'), wireEntry('b'));
  await settle(() => cache.size === 2);
  const [a, b] = [serial('a'), serial('b')];
  cache.replaceRevoked(new Set([b ?? '', '12345']));
  await settle(() => serial('b') !== undefined);
  assert.notEqual(serial('b'), b);
  assert.equal(serial('a'), a);
  cache.renewSignedBy(new Set(['00'.repeat(20)]));
  assert.deepEqual(ca.x509Calls.slice(1), [['b']]);
  cache.renewSignedBy(new Set([Buffer.from(ca.root.keyId).toString('hex')]));
  await renewed('a', a);
});

test('what a tainted authority signs once more is asked for again after five seconds', async () => {
  const { clock, cache, ca, put, serial, renewed } = setUp();
  cache.renewSignedBy(new Set([Buffer.from(ca.root.keyId).toString('hex')]));
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  const first = serial('a');
  clock.advance(4999);
  await quiet();
  assert.equal(serial('a'), first, 'it serves meanwhile');
  clock.advance(1);
  await renewed('a', first);
});

test('a revoked SVID is given to nobody, also while no other comes', async () => {
  const { clock, cache, ca, put, serial, changes } = setUp();
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  const revoked = serial('a') ?? '';
  ca.refused.add('a');
  changes.length = 0;
  cache.replaceRevoked(new Set([revoked]));
  assert.equal(serial('a'), undefined);
  assert.ok(cache.isPending('a'));
  await settle(() => changes.length > 0);
  assert.equal(serial('a'), undefined);
  assert.ok(!cache.isPending('a'));
  ca.refused.clear();
  clock.advance(60_000);
  await settle(() => serial('a') !== undefined);
  assert.notEqual(serial('a'), revoked);
});

test('an SVID whose revocation came before it is not taken', async () => {
  const { cache, ca, put, serial } = setUp();
  // Serials of the test's CA are counted: the next one is known.
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  const next = String(BigInt(serial('a') ?? '0') + 1n);
  cache.replaceRevoked(new Set([next]));
  put(wireEntry('b'));
  await settle(() => serial('b') !== undefined);
  assert.notEqual(serial('b'), next);
  assert.deepEqual(ca.x509Calls, [['a'], ['b'], ['b']]);
});

test('an entry without prefetch is minted on demand and kept while somebody wants it', async () => {
  const { clock, cache, ca, put } = setUp();
  const additionalAttributes = { disableX509SvidPrefetch: true, jwtSvidIncludeJti: false };
  put(wireEntry('a', { additionalAttributes }));
  await quiet();
  assert.equal(ca.x509Calls.length, 0);
  const release = cache.demand('a');
  assert.ok(cache.isPending('a'));
  await settle(() => cache.size === 1);
  clock.advance(HALF_MS);
  await settle(() => ca.x509Calls.length === 2);
  await settle(() => !cache.isPending('a'));
  release();
  release();
  clock.advance(HALF_MS);
  assert.equal(cache.size, 0);
  assert.equal(ca.x509Calls.length, 2);
});

test('an entry for storage elsewhere is not minted', async () => {
  const { cache, ca, put } = setUp();
  put(wireEntry('a', { storeSvid: true }), wireEntry('b'));
  await settle(() => cache.size === 1);
  assert.deepEqual(ca.x509Calls, [['b']]);
});

test('a quarantine forgets every SVID, also those on their way, until it is lifted', async () => {
  const { cache, ca, put } = setUp();
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  put(wireEntry('b'));
  await settle(() => ca.x509Calls.length === 2);
  cache.pause();
  assert.equal(cache.size, 0);
  put(wireEntry('c'));
  await quiet();
  assert.equal(cache.size, 0);
  assert.equal(ca.x509Calls.length, 2);
  cache.resume();
  await settle(() => cache.size === 3);
  assert.equal(cache.size, 3);
});

test('the lag is how long the most overdue SVID waits for its renewal', async () => {
  const { clock, cache, ca, put } = setUp();
  put(wireEntry('a'));
  await settle(() => cache.size === 1);
  assert.equal(cache.lagMs, 0);
  ca.down = true;
  clock.advance(HALF_MS + 1000);
  assert.ok(cache.lagMs >= 1000);
});
