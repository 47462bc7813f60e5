import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_CONNECTORS } from '../../test/support/connector-state.ts';
import {
  agentRecord,
  draft,
  id,
  START_SECONDS as NOW,
  openState,
  selectors,
  type TestState,
  TRUST_DOMAIN,
} from '../../test/support/state.ts';
import { makeRoot } from '../../test/support/x509.ts';
import { ManualClock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import type { Entry, EntryDraft } from '../rules/entry.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { Change, Store, StoreSnapshot } from '../store/store.ts';
import { createRegistry, type NewEntry, type Registry } from './registry.ts';

const AGENT = id('/spire/agent/a');
const none = { aliasEntry: undefined, joinTokenAnswer: undefined };

function codeOf(result: Result<unknown>): string {
  return result.ok ? 'OK' : result.error.code;
}

async function create(registry: Registry, entry: EntryDraft, entryId?: string): Promise<Entry> {
  const [created] = unwrap(await registry.createEntries([{ id: entryId, draft: entry }]));
  assert.ok(created !== undefined && 'entry' in created);
  return created.entry;
}

describe('writes', () => {
  it('are seen by who waited for them, and by streams before', async (context) => {
    const { registry } = await openState(context);
    unwrap(await registry.recordAttestation({ agent: agentRecord('a'), ...none }));
    assert.deepEqual(registry.agent(AGENT), agentRecord('a'));
    const heard: string[] = [];
    const stream = registry.subscribe(AGENT, () => heard.push('stream'));
    stream.take();
    const entry = await create(registry, draft('/web', '/spire/agent/a'));
    heard.push('answer');
    assert.deepEqual(heard, ['stream', 'answer']);
    assert.deepEqual(stream.take()?.upserts, [entry]);
    assert.deepEqual(registry.authorizedEntries(AGENT), [entry]);
    assert.equal(registry.isAuthorized(AGENT, entry.id), true);
    assert.deepEqual(registry.entriesBySpiffeId(entry.spiffeId), [entry]);
    const change = { id: entry.id, draft: draft('/web', '/spire/agent/a', { hint: 'h' }) };
    unwrap(await registry.updateEntries([change]));
    assert.deepEqual(
      [registry.entry(entry.id)?.hint, registry.entry(entry.id)?.revision],
      ['h', 1n],
    );
    unwrap(await registry.deleteEntries([entry.id]));
    assert.equal(registry.entry(entry.id), undefined);
    assert.deepEqual(registry.authorizedEntries(AGENT), []);
  });

  it('of many at once are all seen', async (context) => {
    const { registry } = await openState(context);
    await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        create(registry, draft(`/s${index}`, '/spire/agent/a')),
      ),
    );
    assert.equal(registry.countEntries(), 200);
    assert.equal(registry.sequence, 200n);
    assert.equal(registry.stalenessMs(), 0);
  });

  it('give an agent its alias with its attestation, and take both away again', async (context) => {
    const { registry } = await openState(context);
    const child = await create(registry, draft('/web', '/cluster'));
    const aliasEntry: NewEntry = {
      draft: draft('/cluster', '/spire/server', { selectors: selectors(`spiffe_id:${AGENT.uri}`) }),
    };
    const attested = { agent: agentRecord('a'), aliasEntry, joinTokenAnswer: undefined };
    unwrap(await registry.recordAttestation(attested));
    assert.deepEqual(registry.authorizedEntries(AGENT), [child]);
    assert.equal(unwrap(await registry.deleteAgent(AGENT)), true);
    assert.deepEqual(registry.authorizedEntries(AGENT), []);
    assert.deepEqual([registry.countAgents(), registry.countEntries()], [0, 1]);
  });

  it('ban an agent for all that follows', async (context) => {
    const { registry } = await openState(context);
    unwrap(await registry.recordAttestation({ agent: agentRecord('a'), ...none }));
    unwrap(await registry.changeAgent(AGENT, { kind: 'banned' }));
    assert.equal(registry.agent(AGENT)?.banned, true);
    const again = await registry.recordAttestation({ agent: agentRecord('a'), ...none });
    assert.equal(codeOf(again), 'AGENT_BANNED');
  });

  it('of tokens have one winner, by the clock of the registry', async (context) => {
    const { registry, clock } = await openState(context);
    const token = { tokenHash: 't', expiresAtSeconds: NOW + 10, aliasId: undefined };
    unwrap(await registry.createJoinToken(token));
    assert.equal(unwrap(await registry.claimJoinToken('t', 'k')).outcome, 'claimed');
    assert.equal(unwrap(await registry.claimJoinToken('t', 'l')).outcome, 'consumed');
    clock.advance(61_000);
    assert.equal(unwrap(await registry.claimJoinToken('t', 'k')).outcome, 'consumed');
  });
});

describe('entries that are admin or downstream', () => {
  it('are found by their SPIFFE ID', async (context) => {
    const { registry } = await openState(context);
    await create(registry, draft('/web', '/p'));
    const admin = await create(registry, draft('/web', '/q', { admin: true }));
    const downstream = await create(registry, draft('/web', '/r', { downstream: true }));
    assert.equal(registry.adminEntry(id('/web')), registry.entry(admin.id));
    assert.equal(registry.downstreamEntry(id('/web')), registry.entry(downstream.id));
    assert.equal(registry.adminEntry(id('/p')), undefined);
  });
});

describe('expiry', () => {
  it('takes an entry from view and store at its second', async (context) => {
    const { registry, store, clock } = await openState(context);
    unwrap(await registry.recordAttestation({ agent: agentRecord('a'), ...none }));
    const entry = await create(
      registry,
      draft('/web', '/spire/agent/a', { expiresAtSeconds: NOW + 100 }),
    );
    const woken = Promise.withResolvers<void>();
    const stream = registry.subscribe(AGENT, woken.resolve);
    stream.take();
    clock.advance(99_999);
    assert.equal(registry.isAuthorized(AGENT, entry.id), true);
    clock.advance(1);
    await woken.promise;
    assert.deepEqual(stream.take()?.deletedIds, [entry.id]);
    assert.deepEqual(registry.authorizedEntries(AGENT), []);
    // The store is told too; a second prune answers after it.
    unwrap(await store.prune(NOW));
    assert.deepEqual(unwrap(await store.loadSnapshot()).entries, []);
  });

  it('follows the wall clock when that jumps', async (context) => {
    const { registry, clock } = await openState(context);
    await create(registry, draft('/web', '/p', { expiresAtSeconds: NOW + 86_400 }));
    clock.setWallClock((NOW + 90_000) * 1000);
    clock.advance(60_000);
    assert.equal(registry.countEntries(), 0);
  });

  it('follows an update that moves it', async (context) => {
    const { registry, clock } = await openState(context);
    const soon = draft('/web', '/p', { expiresAtSeconds: NOW + 10 });
    const entry = await create(registry, soon);
    const later = { id: entry.id, draft: { ...soon, expiresAtSeconds: NOW + 20 } };
    unwrap(await registry.updateEntries([later]));
    clock.advance(15_000);
    assert.equal(registry.countEntries(), 1);
    clock.advance(5_000);
    assert.equal(registry.countEntries(), 0);
  });
});

describe('lists', () => {
  async function filled(state: TestState): Promise<readonly Entry[]> {
    const drafts = Array.from({ length: 25 }, (_, index) => ({
      draft: draft(`/s${index}`, index % 2 === 0 ? '/even' : '/odd'),
    }));
    const created: Entry[] = [];
    for (const entry of drafts) {
      state.clock.advance(1);
      created.push(await create(state.registry, entry.draft));
    }
    return created;
  }

  it('page through everything once, in the order of creation', async (context) => {
    const state = await openState(context);
    const created = await filled(state);
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = unwrap(state.registry.listEntries({}, { pageSize: 10, pageToken }));
      seen.push(...page.items.map((entry) => entry.id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    assert.deepEqual(
      seen,
      created.map((entry) => entry.id),
    );
    const all = unwrap(state.registry.listEntries({}, { pageSize: 0, pageToken: '' }));
    assert.deepEqual([all.items.length, all.nextPageToken], [25, '']);
    const exact = unwrap(state.registry.listEntries({}, { pageSize: 25, pageToken: '' }));
    assert.deepEqual([exact.items.length, exact.nextPageToken], [25, '']);
  });

  it('go on where they were when entries come and go, the last one of the page too', async (context) => {
    const state = await openState(context);
    const created = await filled(state);
    const first = unwrap(state.registry.listEntries({}, { pageSize: 10, pageToken: '' }));
    const gone = created.slice(8, 11).map((entry) => entry.id);
    unwrap(await state.registry.deleteEntries(gone));
    await create(state.registry, draft('/early', '/p'), '00000000-early');
    const late = await create(state.registry, draft('/late', '/p'), 'zz-late');
    const pageToken = first.nextPageToken;
    const rest = unwrap(state.registry.listEntries({}, { pageSize: 0, pageToken }));
    assert.deepEqual(
      rest.items.map((entry) => entry.id),
      [...created.slice(11).map((entry) => entry.id), late.id],
    );
  });

  it('filter, by index and by scan, page by page', async (context) => {
    const state = await openState(context);
    const created = await filled(state);
    const { registry } = state;
    const odd = created.filter((entry) => entry.parentId.path === '/odd');
    const parentId = id('/odd');
    assert.equal(registry.countEntries({ parentId }), 12);
    assert.equal(registry.countEntries({ spiffeId: id('/s3') }), 1);
    assert.equal(registry.countEntries({ spiffeId: id('/s3'), parentId: id('/even') }), 0);
    assert.equal(registry.countEntries({ hint: '' }), 25);
    const query = { pageSize: 7, pageToken: '' };
    const first = unwrap(registry.listEntries({ parentId }, query));
    const second = unwrap(
      registry.listEntries({ parentId }, { pageSize: 7, pageToken: first.nextPageToken }),
    );
    assert.deepEqual(
      [...first.items, ...second.items].map((entry) => entry.id),
      odd.map((entry) => entry.id),
    );
    assert.equal(second.nextPageToken, '');
  });

  it('of agents filter and page alike', async (context) => {
    const { registry } = await openState(context);
    for (const name of ['c', 'a', 'b']) {
      const agent = agentRecord(name, { canReattest: name !== 'b' });
      unwrap(await registry.recordAttestation({ agent, ...none }));
    }
    unwrap(await registry.deleteAgent(id('/spire/agent/c')));
    const first = unwrap(registry.listAgents({}, { pageSize: 1, pageToken: '' }));
    assert.deepEqual(
      first.items.map((agent) => agent.id.path),
      ['/spire/agent/a'],
    );
    const rest = unwrap(registry.listAgents({}, { pageSize: 5, pageToken: first.nextPageToken }));
    assert.deepEqual(
      rest.items.map((agent) => agent.id.path),
      ['/spire/agent/b'],
    );
    assert.equal(registry.countAgents(), 2);
    assert.equal(registry.countAgents({ canReattest: true }), 1);
  });

  it('refuse tokens that are not theirs', async (context) => {
    const { registry } = await openState(context);
    for (const pageToken of ['1', '!', 'MTox\n', 'Mjph', '../..', 'a'.repeat(100_000)]) {
      const page = registry.listEntries({}, { pageSize: 1, pageToken });
      assert.equal(codeOf(page), 'PAGE_TOKEN');
    }
  });
});

describe('the bundle', () => {
  it('comes to who listens, parsed, and is there after a start', async (context) => {
    const { registry, store, clock, random } = await openState(context);
    assert.ok(registry.bundle === undefined);
    const heard: Bundle[] = [];
    const stop = registry.onBundle((bundle) => heard.push(bundle));
    const bundle = {
      trustDomain: TRUST_DOMAIN,
      x509Authorities: [{ certificate: makeRoot().certificate, tainted: false }],
      jwtAuthorities: [],
      sequence: 0n,
      refreshHintSeconds: 60,
    };
    const journal = Uint8Array.of(1);
    unwrap(await store.commitAuthorities({ expectedVersion: 0n, journal, bundle }));
    unwrap(await registry.catchUp());
    stop();
    unwrap(await store.commitAuthorities({ expectedVersion: 1n, journal, bundle }));
    unwrap(await registry.catchUp());
    assert.deepEqual(
      heard.map(({ sequence }) => sequence),
      [1n],
    );
    assert.equal(heard.length, 1);
    const again = unwrap(await createRegistry({ store, trustDomain: TRUST_DOMAIN, clock, random }));
    assert.equal(again.bundle?.sequence, 2n);
    assert.equal(again.feedId, registry.feedId);
    await again.close();
  });
});

/** A store of entries alone whose reads can be made to fail, to lag and to forget. */
class FlakyStore {
  readonly entries = new Map<string, Entry>();
  readonly changes: Change[] = [];
  failing = false;
  forgotten = false;
  reads = 0;
  snapshots = 0;
  #wake: () => void = () => {};

  asStore(): Store {
    // Only what a registry reads with is there.
    return this as unknown as Store;
  }

  onWake(wake: () => void): () => void {
    this.#wake = wake;
    return () => {
      this.#wake = () => {};
    };
  }

  async loadSnapshot(): Promise<Result<StoreSnapshot>> {
    this.snapshots += 1;
    if (this.failing) return fail('STORE_IO', 'planted');
    const entries = [...this.entries.values()];
    const sequence = BigInt(this.changes.length);
    return ok({
      feedId: 'feed',
      sequence,
      entries,
      agents: [],
      bundle: undefined,
      revocations: [],
      dpus: [],
      issuingCas: [],
      federations: [],
      federatedBundles: [],
      connectors: NO_CONNECTORS,
    });
  }

  async changesAfter(sequence: bigint, limit: number): Promise<Result<readonly Change[]>> {
    this.reads += 1;
    if (this.failing) return fail('STORE_IO', 'planted');
    if (this.forgotten) return fail('STORE_FEED_GAP', 'planted');
    return ok(this.changes.slice(Number(sequence), Number(sequence) + limit));
  }

  put(entryId: string): void {
    const entry: Entry = {
      ...draft(`/${entryId}`, '/p'),
      id: entryId,
      revision: 0n,
      createdAtSeconds: NOW,
    };
    this.entries.set(entryId, entry);
    const sequence = BigInt(this.changes.length + 1);
    this.changes.push({ kind: 'entry', sequence, entry });
    this.#wake();
  }
}

describe('a registry whose store fails', () => {
  async function flaky() {
    const store = new FlakyStore();
    const clock = new ManualClock(NOW * 1000);
    const faults: SignetError[] = [];
    store.put('first');
    const registry = unwrap(
      await createRegistry({
        store: store.asStore(),
        trustDomain: TRUST_DOMAIN,
        clock,
        random: seededRandom(1),
        onFault: (error) => faults.push(error),
      }),
    );
    return { store, clock, faults, registry };
  }

  it('A6 does not start without its state', async () => {
    const store = new FlakyStore();
    store.failing = true;
    const started = await createRegistry({
      store: store.asStore(),
      trustDomain: TRUST_DOMAIN,
      clock: new ManualClock(0),
      random: seededRandom(1),
    });
    assert.equal(codeOf(started), 'STORE_IO');
  });

  it('A6 serves what it has, says how old that is, and catches up by itself', async () => {
    const { store, clock, faults, registry } = await flaky();
    store.failing = true;
    store.put('second');
    assert.equal(codeOf(await registry.catchUp()), 'STORE_IO');
    assert.equal(registry.countEntries(), 1);
    assert.equal(faults[0]?.code, 'STORE_IO');
    clock.advance(249);
    assert.equal(registry.stalenessMs(), 249);
    const reads = store.reads;
    store.failing = false;
    clock.advance(1);
    assert.equal(store.reads, reads + 1);
    unwrap(await registry.catchUp());
    assert.equal(registry.countEntries(), 2);
    assert.equal(registry.stalenessMs(), 0);
    await registry.close();
  });

  it('tries again ever more slowly, at most every 30 seconds', async () => {
    const { store, clock, registry } = await flaky();
    store.failing = true;
    store.put('second');
    await registry.catchUp();
    const waits: number[] = [];
    for (let tries = 0; tries < 9; tries++) {
      const before = store.reads;
      let waited = 0;
      for (; store.reads === before; waited += 250) clock.advance(250);
      waits.push(waited);
      await registry.catchUp();
    }
    assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    await registry.close();
  });

  it('reads everything again when changes were forgotten', async () => {
    const { store, registry } = await flaky();
    store.forgotten = true;
    store.put('second');
    unwrap(await registry.catchUp());
    assert.equal(registry.countEntries(), 2);
    assert.equal(registry.sequence, 2n);
    assert.equal(store.snapshots, 2);
    await registry.close();
  });

  it('reads nothing while nothing happens', async () => {
    const { store, clock, registry } = await flaky();
    const { reads } = store;
    clock.advance(200_000);
    unwrap(await registry.catchUp());
    assert.equal(store.reads, reads);
    await registry.close();
  });

  it('reads more than a thousand changes in several goes', async () => {
    const { store, registry } = await flaky();
    for (let index = 0; index < 2500; index++) store.put(`e${index}`);
    unwrap(await registry.catchUp());
    assert.equal(registry.countEntries(), 2501);
    await registry.close();
  });
});
