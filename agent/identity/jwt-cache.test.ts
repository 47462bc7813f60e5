import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ok } from '../../src/base/result.ts';
import { AGENT_TEST_DOMAIN, settle, TestAgentCa, wireEntry } from '../../test/support/agent-ca.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { readEntry } from './entry.ts';
import { JwtCache, type MintJwt } from './jwt-cache.ts';

const ENTRY = assertValue(readEntry(wireEntry('a'), AGENT_TEST_DOMAIN));
const OTHER = assertValue(readEntry(wireEntry('b'), AGENT_TEST_DOMAIN));

function setUp(limits: { maxTokens?: number; maxRequests?: number; mint?: MintJwt } = {}) {
  const clock = new ManualClock(Date.UTC(2030, 0, 1));
  const ca = new TestAgentCa(() => clock.nowMs());
  ca.lifeMs = 300_000;
  const cache = new JwtCache({
    clock,
    random: seededRandom(5),
    mint: limits.mint ?? ca.mintJwt,
    maxTokens: limits.maxTokens ?? 1000,
    maxRequests: limits.maxRequests ?? 10,
  });
  return { clock, ca, cache };
}

test('a token is fetched once for a set of audiences, in whatever order they come', async () => {
  const { cache, ca } = setUp();
  const first = assertValue(await cache.get(ENTRY, ['x', 'y']));
  assert.equal(assertValue(await cache.get(ENTRY, ['y', 'x'])), first);
  assert.equal(ca.jwtCalls.length, 1);
  await cache.get(ENTRY, ['x']);
  await cache.get(OTHER, ['x', 'y']);
  assert.equal(ca.jwtCalls.length, 3);
});

test('callers at the same time share one request', async () => {
  const { cache, ca } = setUp();
  const answers = await Promise.all([1, 2, 3].map(() => cache.get(ENTRY, ['x'])));
  assert.equal(new Set(answers.map(assertValue)).size, 1);
  assert.equal(ca.jwtCalls.length, 1);
});

test('a token in use is refreshed at half its life without anybody asking', async () => {
  const { cache, ca, clock } = setUp();
  const first = assertValue(await cache.get(ENTRY, ['x']));
  clock.advance(150_000);
  await settle(() => ca.jwtCalls.length === 2);
  await new Promise((done) => setImmediate(done));
  const second = assertValue(await cache.get(ENTRY, ['x']));
  assert.notEqual(second, first);
  assert.equal(ca.jwtCalls.length, 2);
});

test('a token that nobody asked for over two lives is refreshed no more', async () => {
  const { cache, ca, clock } = setUp();
  await cache.get(ENTRY, ['x']);
  for (let step = 0; step < 20; step++) {
    clock.advance(75_000);
    for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
  }
  assert.equal(cache.size, 0);
  assert.ok(ca.jwtCalls.length <= 6, String(ca.jwtCalls.length));
});

test('a server outage does not stop tokens in use before they are over', async () => {
  const { cache, ca, clock } = setUp();
  const token = assertValue(await cache.get(ENTRY, ['x']));
  ca.down = true;
  for (let elapsed = 0; elapsed < 290_000; elapsed += 10_000) {
    clock.advance(10_000);
    assert.equal(assertValue(await cache.get(ENTRY, ['x'])), token, `after ${elapsed} ms`);
  }
  clock.advance(10_001);
  const after = await cache.get(ENTRY, ['x']);
  assertRefused(after, 'WORKLOAD_JWT_UNAVAILABLE');
  assert.ok(!after.ok && after.error.message.startsWith('could not fetch JWT-SVID: '));
  ca.down = false;
  assert.notEqual(assertValue(await cache.get(ENTRY, ['x'])), token);
});

test('near its end a token is handed out only if no fresh one comes within a second', async () => {
  let answer: ((token: string) => void) | undefined;
  const { clock, ca } = setUp();
  const cache = new JwtCache({
    clock,
    random: seededRandom(5),
    mint: (id, audience) =>
      answer === undefined
        ? ca.mintJwt(id, audience)
        : new Promise((resolve) => {
            answer = (token) => resolve(ok(token));
          }),
    maxTokens: 10,
    maxRequests: 10,
  });
  const first = assertValue(await cache.get(ENTRY, ['x']));
  answer = () => {};
  clock.advance(240_000);
  const late = cache.get(ENTRY, ['x']);
  await new Promise((done) => setImmediate(done));
  clock.advance(1000);
  assert.equal(assertValue(await late), first);
  const soon = cache.get(ENTRY, ['x']);
  const fresh = ca.token('spiffe://example.org/a', ['x'], { fresh: true });
  answer(fresh);
  assert.equal(assertValue(await soon), fresh);
});

test('the least recently used token goes first, at n-1, n, n+1', async () => {
  const { cache, ca } = setUp({ maxTokens: 2 });
  await cache.get(ENTRY, ['x']);
  await cache.get(ENTRY, ['y']);
  await cache.get(ENTRY, ['x']);
  assert.equal(cache.size, 2);
  await cache.get(ENTRY, ['z']);
  assert.equal(cache.size, 2);
  await cache.get(ENTRY, ['x']);
  assert.equal(ca.jwtCalls.length, 3);
  await cache.get(ENTRY, ['y']);
  assert.equal(ca.jwtCalls.length, 4);
});

test('requests to the server are bounded', async () => {
  const { cache } = setUp({ maxRequests: 2, mint: () => new Promise(() => {}) });
  void cache.get(ENTRY, ['1']);
  void cache.get(ENTRY, ['2']);
  assertRefused(await cache.get(ENTRY, ['3']), 'WORKLOAD_LIMIT');
});

test('WLAPI-22 a token that workloads would refuse is not handed out', async () => {
  const { clock, ca } = setUp();
  const bad: readonly [string, string][] = [
    ['another subject', ca.token('spiffe://example.org/b', ['x'])],
    ['an audience is missing', ca.token('spiffe://example.org/a', ['y'])],
    ['over', ca.token('spiffe://example.org/a', ['x'], { exp: 1 })],
    ['no token', 'nonsense'],
  ];
  for (const [name, token] of bad) {
    const cache = new JwtCache({
      clock,
      random: seededRandom(1),
      mint: async () => ok(token),
      maxTokens: 1,
      maxRequests: 1,
    });
    assert.equal((await cache.get(ENTRY, ['x'])).ok, false, name);
  }
});

test('tokens go with their entry, its revision, and a tainted key', async () => {
  const { cache, ca } = setUp();
  await cache.get(ENTRY, ['x']);
  cache.dropSignedBy(new Set(['another']));
  assert.equal(cache.size, 1);
  cache.dropSignedBy(new Set(['key-1']));
  assert.equal(cache.size, 0);
  await cache.get(ENTRY, ['x']);
  cache.dropEntries(new Set(['a']));
  assert.equal(cache.size, 0);
  await cache.get(ENTRY, ['x']);
  const revised = assertValue(readEntry(wireEntry('a', { revisionNumber: 1n }), AGENT_TEST_DOMAIN));
  await cache.get(revised, ['x']);
  assert.equal(ca.jwtCalls.length, 4);
});
