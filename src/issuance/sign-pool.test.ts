import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { SILENT, startAuthorities } from '../../test/support/issuance.ts';
import { makeCsr } from '../../test/support/x509.ts';
import { ManualClock } from '../base/clock.ts';
import { type Result, unwrap } from '../base/result.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { LeafOrder } from './leaf.ts';
import { SignPool, type SignPoolOptions } from './sign-pool.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const manager = await startAuthorities();
const authority = unwrap(manager.currentX509());
/** Inside the life of this authority and of others that start soon after it. */
const beginSeconds = authority.certificate.notBeforeMs / 1000 + 30;
const csr = makeCsr();
const id = unwrap(parseSpiffeId('spiffe://example.org/web'));
const pools: SignPool[] = [];
after(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  await manager.close();
});

function makePool(options: Partial<SignPoolOptions> = {}): SignPool {
  const clock = new ManualClock(0);
  const pool = new SignPool({
    threads: 1,
    maxQueued: 400,
    clock,
    log: SILENT,
    blockedKeys: new Set(),
    ...options,
  });
  pools.push(pool);
  return pool;
}

function orders(count: number, extra: Partial<LeafOrder> = {}): LeafOrder[] {
  return Array.from({ length: count }, (_, index) => ({
    source: { kind: 'csr', der: csr },
    id,
    dnsNames: [],
    serial: new Uint8Array(16).fill(index + 1),
    notBeforeSeconds: beginSeconds,
    notAfterSeconds: beginSeconds + 3600,
    ...extra,
  }));
}

/** Orders that end the thread which unpacks them: an ID that no parser lets through. */
const poison = orders(1, { id: { ...id, uri: 'not a SPIFFE ID' } });

async function issue(pool: SignPool, count = 3): Promise<string[]> {
  const batch = await pool.draft(orders(count), authority, 'a');
  return (await batch.sign()).map(code);
}

describe('signing threads', () => {
  test('draft and sign', async () => {
    assert.deepEqual(await issue(makePool()), ['ok', 'ok', 'ok']);
  });

  test('one that ends refuses what it had, another takes its place', async () => {
    const pool = makePool();
    assert.deepEqual(await issue(pool), ['ok', 'ok', 'ok']);
    const waiting = await pool.draft(orders(2), authority, 'a');
    const lost = await pool.draft(poison, authority, 'b');
    assert.deepEqual(lost.tbsHashes.map(code), ['ISSUANCE_WORKER_LOST']);
    assert.deepEqual((await lost.sign()).map(code), ['ISSUANCE_WORKER_LOST']);
    // Drafted before, in the thread that is gone: its tokens went with it.
    assert.deepEqual(waiting.tbsHashes.map(code), ['ok', 'ok']);
    assert.deepEqual((await waiting.sign()).map(code), [
      'ISSUANCE_WORKER_LOST',
      'ISSUANCE_WORKER_LOST',
    ]);
    assert.deepEqual(await issue(pool), ['ok', 'ok', 'ok']);
    assert.equal(pool.queued, 0);
  });

  test('ones that end before they answer are not started for ever', async () => {
    const clock = new ManualClock(0);
    const pool = makePool({ clock });
    const lost = await pool.draft(poison, authority, 'a');
    assert.deepEqual(lost.tbsHashes.map(code), ['ISSUANCE_WORKER_LOST']);
    const waiting = issue(pool, 1);
    let done = false;
    void waiting.then(() => (done = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(done, false);
    clock.advance(5000);
    assert.deepEqual(await waiting, ['ok']);
  });

  test('what was drafted is signed once', async () => {
    const pool = makePool();
    const batch = await pool.draft(orders(1), authority, 'a');
    assert.deepEqual((await batch.sign()).map(code), ['ok']);
    assert.deepEqual((await batch.sign()).map(code), ['ISSUANCE_MISMATCH']);
  });

  test('what was discarded is not signed', async () => {
    const pool = makePool();
    const batch = await pool.draft(orders(1), authority, 'a');
    batch.discard();
    assert.deepEqual((await batch.sign()).map(code), ['ISSUANCE_MISMATCH']);
  });

  test('A7 more than may wait is shed, of one lane and in all', async () => {
    const pool = makePool({ maxQueued: 40 });
    const full = pool.draft(orders(10), authority, 'a');
    const shed = await pool.draft(orders(1), authority, 'a');
    assert.deepEqual(shed.tbsHashes.map(code), ['ISSUANCE_OVERLOADED']);
    assert.deepEqual((await shed.sign()).map(code), ['ISSUANCE_OVERLOADED']);
    const others = ['b', 'c', 'd'].map((lane) => pool.draft(orders(10), authority, lane));
    const fifth = await pool.draft(orders(1), authority, 'e');
    assert.deepEqual(fifth.tbsHashes.map(code), ['ISSUANCE_OVERLOADED']);
    for (const batch of await Promise.all([full, ...others])) {
      assert.ok(batch.tbsHashes.every((hash) => hash.ok));
      batch.discard();
    }
    const later = await pool.draft(orders(10), authority, 'a');
    assert.ok(later.tbsHashes.every((hash) => hash.ok));
  });

  test('a change of authority in mid-stream gives each batch its own', async () => {
    const other = await startAuthorities();
    const second = unwrap(other.currentX509());
    const pool = makePool();
    const batches = await Promise.all(
      [authority, second, authority].map((each) => pool.draft(orders(2), each, 'a')),
    );
    const signed = await Promise.all(batches.map((batch) => batch.sign()));
    signed.forEach((leaves, index) => {
      const { certificate } = index === 1 ? second : authority;
      const { publicKey } = new X509Certificate(certificate.der);
      for (const leaf of leaves) assert.ok(new X509Certificate(unwrap(leaf)).verify(publicKey));
    });
    await other.close();
  });

  test('closing refuses what waits and what comes', async () => {
    const pool = makePool();
    const waiting = pool.draft(orders(100), authority, 'a');
    await pool.close();
    const refused = (await waiting).tbsHashes.map(code);
    assert.deepEqual(new Set(refused), new Set(['ISSUANCE_CLOSED']));
    assert.equal(refused.length, 100);
    const late = await pool.draft(orders(1), authority, 'a');
    assert.deepEqual(late.tbsHashes.map(code), ['ISSUANCE_CLOSED']);
  });
});
