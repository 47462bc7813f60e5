import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import {
  draft,
  START_SECONDS as NOW,
  TRUST_DOMAIN,
  temporaryFolder,
} from '../../../test/support/state.ts';
import { ManualClock, systemClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { createRegistry } from '../../registry/registry.ts';
import type { Store } from '../store.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { StoreThreadEvent } from './worker-client.ts';

function codeOf(result: Result<unknown>): string {
  return result.ok ? 'OK' : result.error.code;
}

/** A store whose thread the test can end, and what it told of that. */
async function opened(context: TestContext) {
  const path = join(await temporaryFolder(context), 'signet.db');
  const clock = new ManualClock(NOW * 1000);
  const events: StoreThreadEvent[] = [];
  const threads: Worker[] = [];
  const heard: (() => void)[] = [];
  const note = (worker: Worker): number => threads.push(worker);
  process.on('worker', note);
  context.after(() => process.off('worker', note));
  const store = unwrap(
    await openSqliteStore({
      path,
      trustDomain: TRUST_DOMAIN,
      clock,
      random: seededRandom(7),
      onThread: (event) => {
        events.push(event);
        for (const tell of heard.splice(0)) tell();
      },
    }),
  );
  context.after(() => store.close());
  const nextEvent = async (): Promise<StoreThreadEvent | undefined> => {
    const seen = events.length;
    await new Promise<void>((resolve) => {
      heard.push(resolve);
    });
    return events[seen];
  };
  /** Ends the thread; answers when the store has noticed. */
  const kill = async (): Promise<void> => {
    const noticed = nextEvent();
    await threads.at(-1)?.terminate();
    assert.equal((await noticed)?.kind, 'ended');
  };
  const restart = async (): Promise<StoreThreadEvent | undefined> => {
    const restarted = nextEvent();
    clock.advance(30_000);
    return restarted;
  };
  return { path, clock, events, threads, store, nextEvent, kill, restart };
}

/** Makes a database one of another program, or ours again; answers whose it was. */
function setApplicationId(path: string, id: number): number {
  const connection = new DatabaseSync(path);
  const before = Number(connection.prepare('PRAGMA application_id').get()?.application_id);
  connection.exec(`PRAGMA application_id = ${id}`);
  connection.close();
  return before;
}

const create = (store: Store, name: string) =>
  store.createEntries([{ id: name, draft: draft(`/${name}`, '/p') }], NOW);

const idsIn = async (store: Store): Promise<readonly string[]> =>
  unwrap(await store.loadSnapshot()).entries.map(({ id }) => id);

test('a thread that ended is started again, with all that was written before', async (context) => {
  const { store, kill, restart, threads } = await opened(context);
  unwrap(await create(store, 'one'));
  await kill();
  assert.equal(codeOf(await create(store, 'two')), 'STORE_UNAVAILABLE');
  assert.equal(codeOf(await store.changesAfter(0n, 10)), 'STORE_UNAVAILABLE');
  assert.equal((await restart())?.kind, 'restarted');
  assert.equal(threads.length, 2);
  unwrap(await create(store, 'two'));
  assert.deepEqual(await idsIn(store), ['one', 'two']);
});

test('a write whose answer was lost is refused as unknown, made whole or not at all, and not repeated', async (context) => {
  const { store, threads, nextEvent, restart } = await opened(context);
  const ids = Array.from({ length: 40 }, (_, index) => `e${100 + index}`);
  const creations = (batch: string) =>
    ids.map((id) => ({ id: `${batch}-${id}`, draft: draft(`/${batch}/${id}`, '/p') }));
  for (let round = 0; round < 6; round++) {
    const writes = Array.from({ length: 5 }, (_, index) =>
      store.createEntries(creations(`r${round}w${index}`), NOW),
    );
    const noticed = nextEvent();
    if (round > 0) await writes[round - 1];
    await threads.at(-1)?.terminate();
    await noticed;
    const answers = await Promise.all(writes);
    await restart();
    const there = await idsIn(store);
    for (const [index, answer] of answers.entries()) {
      const found = there.filter((id) => id.startsWith(`r${round}w${index}-`)).length;
      if (answer.ok) assert.equal(found, ids.length, 'what was answered is there');
      else {
        assert.equal(answer.error.code, 'STORE_UNAVAILABLE');
        assert.equal(answer.error.retryable, true);
        assert.match(answer.error.message, /is not known/);
        assert.ok(found === 0 || found === ids.length, `${found} of ${ids.length}`);
      }
    }
  }
});

test('a call while it is down is refused at once and says that nothing was written', async (context) => {
  const { store, kill } = await opened(context);
  await kill();
  const refused = await create(store, 'one');
  assert.match(refused.ok ? '' : refused.error.message, /nothing was written/);
});

test('the feed goes on without a gap and without a change told twice', async (context) => {
  const { store, clock, kill, restart, threads, nextEvent } = await opened(context);
  const registry = unwrap(
    await createRegistry({ store, trustDomain: TRUST_DOMAIN, clock, random: seededRandom(1) }),
  );
  context.after(() => registry.close());
  const { feedId } = registry;
  await registry.createEntries([{ id: 'one', draft: draft('/one', '/p') }]);
  // The thread commits, and ends before it could tell.
  const writing = registry.createEntries([{ id: 'two', draft: draft('/two', '/p') }]);
  const noticed = nextEvent();
  await threads.at(-1)?.terminate();
  await noticed;
  const written = await writing;
  assert.equal(registry.entry('one')?.id, 'one', 'reads go on from memory');
  await restart();
  unwrap(await registry.catchUp());
  unwrap(await registry.createEntries([{ id: 'three', draft: draft('/three', '/p') }]));
  const changes = unwrap(await store.changesAfter(0n, 100));
  const sequences = changes.map(({ sequence }) => sequence);
  assert.deepEqual(
    sequences,
    sequences.map((_, index) => BigInt(index + 1)),
  );
  const there = await idsIn(store);
  assert.equal(registry.countEntries(), there.length);
  for (const id of there) assert.equal(registry.entry(id)?.id, id);
  if (written.ok) assert.ok(there.includes('two'));
  assert.deepEqual([registry.feedId, registry.sequence], [feedId, sequences.at(-1)]);
  await kill();
  await restart();
  unwrap(await registry.createEntries([{ id: 'four', draft: draft('/four', '/p') }]));
  assert.equal(registry.entry('four')?.id, 'four');
});

test('the view hears of a commit whose wake was lost with the thread', async (context) => {
  const { store, clock, kill, restart } = await opened(context);
  const registry = unwrap(
    await createRegistry({ store, trustDomain: TRUST_DOMAIN, clock, random: seededRandom(1) }),
  );
  context.after(() => registry.close());
  let wakes = 0;
  context.after(store.onWake(() => wakes++));
  await kill();
  assert.equal(wakes, 0);
  await restart();
  assert.equal(wakes, 1);
});

test('a database that will not open is tried ever more slowly, and used when it will', async (context) => {
  const { path, store, kill, clock, nextEvent, restart } = await opened(context);
  unwrap(await create(store, 'one'));
  await kill();
  const id = setApplicationId(path, 1);
  const waits: number[] = [];
  for (let round = 0; round < 11; round++) {
    const event = nextEvent();
    clock.advance(30_000);
    const told = await event;
    assert.ok(told?.kind === 'ended');
    assert.equal(told.error.code, 'STORE_FOREIGN');
    assert.equal(codeOf(await create(store, 'two')), 'STORE_UNAVAILABLE');
    waits.push(told.retryMs);
  }
  assert.ok(waits.every((wait) => wait >= 50 && wait <= 30_000));
  assert.ok(waits.slice(-2).every((wait) => wait >= 15_000));
  setApplicationId(path, id);
  assert.equal((await restart())?.kind, 'restarted');
  assert.deepEqual(await idsIn(store), ['one']);
});

test('a store that is closed while its thread is down stays closed', async (context) => {
  const { store, kill, clock, threads } = await opened(context);
  await kill();
  await store.close();
  clock.advance(60_000);
  assert.equal(threads.length, 1);
  assert.equal(codeOf(await create(store, 'one')), 'STORE_UNAVAILABLE');
});

test('a store that is closed while its thread starts leaves no thread behind', async (context) => {
  const { store, kill, clock, threads } = await opened(context);
  await kill();
  clock.advance(30_000);
  await store.close();
  assert.equal(threads.length, 2);
  assert.equal(threads[1]?.threadId, -1, 'it has ended');
});

test('with the clock of the machine it comes back by itself', async (context) => {
  const path = join(await temporaryFolder(context), 'signet.db');
  const workers: Worker[] = [];
  const note = (worker: Worker): number => workers.push(worker);
  process.on('worker', note);
  context.after(() => process.off('worker', note));
  const back = Promise.withResolvers<void>();
  const onThread = (event: StoreThreadEvent): void => {
    if (event.kind === 'restarted') back.resolve();
  };
  const options = { path, trustDomain: TRUST_DOMAIN, clock: systemClock, onThread };
  const store = unwrap(await openSqliteStore(options));
  context.after(() => store.close());
  await workers[0]?.terminate();
  await back.promise;
  unwrap(await create(store, 'one'));
});
