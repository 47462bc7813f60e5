import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NO_CONNECTORS } from '../../test/support/connector-state.ts';
import {
  agentRecord,
  draft,
  id,
  START_SECONDS,
  selectors,
  TRUST_DOMAIN,
} from '../../test/support/state.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';
import type { Change } from '../store/store.ts';
import type { AgentSubscription, AgentUpdate } from './registry.ts';
import { View } from './view.ts';

const AGENTS = ['a', 'b', 'c'];
const NODE_SELECTORS = ['n:1', 'n:2', 'n:3'];
const PATHS = ['/w0', '/w1', '/w2', '/alias0', '/alias1'];
const PARENTS = [...AGENTS.map((name) => `/spire/agent/${name}`), '/spire/server', ...PATHS];

/** The rules as they are told, with no index and no memory: what the view must agree with. */
class Model {
  readonly entries = new Map<string, Entry>();
  readonly agents = new Map<string, AgentRecord>();

  authorized(uri: string, now: number): Set<string> {
    const found = new Set<string>();
    const agent = this.agents.get(uri);
    if (agent === undefined) return found;
    const live = [...this.entries.values()].filter(
      (entry) => entry.expiresAtSeconds === 0 || entry.expiresAtSeconds > now,
    );
    const own = [...agent.selectors.map(({ text }) => text), `spiffe_id:${uri}`];
    const server = 'spiffe://example.org/spire/server';
    const reached = new Set([uri]);
    for (const entry of live) {
      const matches = entry.selectors.every(({ text }) => own.includes(text));
      if (entry.parentId.uri === server && matches) reached.add(entry.spiffeId.uri);
    }
    for (let before = -1; before !== reached.size + found.size; ) {
      before = reached.size + found.size;
      for (const entry of live) {
        if (!reached.has(entry.parentId.uri)) continue;
        found.add(entry.id);
        reached.add(entry.spiffeId.uri);
      }
    }
    return found;
  }
}

/** What a push client holds: only what its stream told it. */
class Client {
  entries = new Map<string, Entry>();
  revision = 0n;
  feedId = '';
  stream: AgentSubscription | undefined;
  wakes = 0;

  apply(update: AgentUpdate): void {
    if (update.kind === 'snapshot') {
      this.entries.clear();
      assert.deepEqual(update.deletedIds, []);
    }
    for (const entry of update.upserts) this.entries.set(entry.id, entry);
    for (const deleted of update.deletedIds) this.entries.delete(deleted);
    assert.ok(update.revision >= this.revision || update.kind === 'snapshot');
    this.revision = update.revision;
  }
}

/** View, model and clients in step. */
class World {
  now = START_SECONDS;
  sequence = 0n;
  readonly model = new Model();
  readonly view = new View(TRUST_DOMAIN, () => this.now);
  readonly clients = AGENTS.map(() => new Client());

  constructor() {
    this.reload();
  }

  reload(): void {
    this.view.load({
      feedId: 'feed',
      sequence: this.sequence,
      entries: [...this.model.entries.values()],
      agents: [...this.model.agents.values()],
      bundle: undefined,
      revocations: [],
      dpus: [],
      issuingCas: [],
      federations: [],
      federatedBundles: [],
      connectors: NO_CONNECTORS,
    });
  }

  change(make: (sequence: bigint) => Change): void {
    this.sequence += 1n;
    const change = make(this.sequence);
    if (change.kind === 'entry') this.model.entries.set(change.entry.id, change.entry);
    if (change.kind === 'entry-deleted') this.model.entries.delete(change.entryId);
    if (change.kind === 'agent') this.model.agents.set(change.agent.id.uri, change.agent);
    if (change.kind === 'agent-deleted') this.model.agents.delete(change.agentId);
    this.view.apply([change]);
  }

  check(): void {
    for (const [index, name] of AGENTS.entries()) {
      const { uri } = id(`/spire/agent/${name}`);
      const expected = this.model.authorized(uri, this.now);
      const ids = [...expected].sort();
      assert.deepEqual(idsOf(this.view.authorizedEntries(uri)), ids);
      assert.equal(this.view.authorizedEntries(uri), this.view.authorizedEntries(uri));
      for (const entryId of this.model.entries.keys()) {
        assert.equal(this.view.isAuthorized(uri, entryId), expected.has(entryId));
      }
      this.#checkClient(index, ids);
    }
  }

  /** What clients were not told yet they will be told: whoever was woken takes. */
  #checkClient(index: number, ids: readonly string[]): void {
    const client = this.clients[index];
    if (client?.stream === undefined || client.wakes === 0) return;
    client.wakes = 0;
    const update = client.stream.take();
    assert.ok(update);
    client.apply(update);
    assert.equal(client.stream.take(), undefined);
    assert.deepEqual(idsOf([...client.entries.values()]), ids);
    for (const entry of client.entries.values()) {
      assert.equal(entry, this.model.entries.get(entry.id));
    }
  }
}

function idsOf(entries: readonly Entry[]): readonly string[] {
  return entries.map((entry) => entry.id).sort();
}

const subsetOf = (texts: readonly string[], minLength: number) =>
  fc.subarray([...texts], { minLength });

const entryArbitrary = fc.record({
  entryId: fc.integer({ min: 0, max: 9 }).map(String),
  path: fc.constantFrom(...PATHS),
  parent: fc.constantFrom(...PARENTS),
  selectors: subsetOf([...NODE_SELECTORS, 'spiffe_id:spiffe://example.org/spire/agent/a'], 1),
  life: fc.constantFrom(0, 0, 0, 5, 20),
});

const commandArbitrary = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), entry: entryArbitrary }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('delete' as const),
      entryId: fc.integer({ min: 0, max: 9 }).map(String),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('agent' as const),
      name: fc.constantFrom(...AGENTS),
      selectors: subsetOf(NODE_SELECTORS, 0),
      banned: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('agent-deleted' as const),
      name: fc.constantFrom(...AGENTS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), seconds: fc.nat({ max: 10 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('open' as const, 'cut' as const),
      client: fc.nat({ max: AGENTS.length - 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reload' as const) }) },
);

type Command = typeof commandArbitrary extends fc.Arbitrary<infer T> ? T : never;

function run(world: World, command: Command): void {
  switch (command.kind) {
    case 'put': {
      const { entryId, path, parent, selectors: texts, life } = command.entry;
      const before = world.model.entries.get(entryId);
      const entry: Entry = {
        ...draft(path, parent, {
          selectors: selectors(...texts),
          expiresAtSeconds: life === 0 ? 0 : world.now + life,
        }),
        id: entryId,
        revision: (before?.revision ?? -1n) + 1n,
        createdAtSeconds: 1,
      };
      world.change((sequence) => ({ kind: 'entry', sequence, entry }));
      return;
    }
    case 'delete':
      world.change((sequence) => ({
        kind: 'entry-deleted',
        sequence,
        entryId: command.entryId,
      }));
      return;
    case 'agent': {
      const { name, banned, selectors: texts } = command;
      const agent = agentRecord(name, { banned, selectors: selectors(...texts) });
      world.change((sequence) => ({ kind: 'agent', sequence, agent }));
      return;
    }
    case 'agent-deleted': {
      const agentId = id(`/spire/agent/${command.name}`).uri;
      world.change((sequence) => ({ kind: 'agent-deleted', sequence, agentId }));
      return;
    }
    case 'wait':
      world.now += command.seconds;
      world.view.expire(world.now);
      return;
    case 'open':
    case 'cut':
      toggle(world, command.client, command.kind);
      return;
    case 'reload':
      world.reload();
      return;
  }
}

/** A stream is cut at any moment, taken or not, and comes back where its client stands. */
function toggle(world: World, index: number, kind: 'open' | 'cut'): void {
  const client = world.clients[index];
  const name = AGENTS[index];
  if (client === undefined || name === undefined) return;
  if (kind === 'cut') {
    client.stream?.close();
    client.stream = undefined;
    return;
  }
  if (client.stream !== undefined) return;
  const wake = () => {
    client.wakes += 1;
    assert.equal(client.wakes, 1, 'woken once until it takes');
  };
  const resume = { feedId: client.feedId, revision: client.revision };
  client.stream = world.view.subscribe(id(`/spire/agent/${name}`).uri, wake, resume);
  client.feedId = 'feed';
  client.wakes = 1;
}

describe('what agents serve', () => {
  it('is what the rules say, and streams tell exactly its changes', () => {
    fc.assert(
      fc.property(fc.array(commandArbitrary, { maxLength: 80, size: 'max' }), (commands) => {
        const world = new World();
        world.check();
        for (const command of commands) {
          run(world, command);
          world.check();
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('push streams', () => {
  const put = (world: World, entryId: string, path: string, parent: string, texts = ['n:1']) =>
    world.change((sequence) => ({
      kind: 'entry',
      sequence,
      entry: {
        ...draft(path, parent, { selectors: selectors(...texts) }),
        id: entryId,
        revision: sequence,
        createdAtSeconds: 1,
      },
    }));
  const putAgent = (world: World, name: string, extra: Partial<AgentRecord> = {}) =>
    world.change((sequence) => ({ kind: 'agent', sequence, agent: agentRecord(name, extra) }));
  const a = id('/spire/agent/a').uri;

  const opened = () => {
    const world = new World();
    putAgent(world, 'a');
    let wakes = 0;
    const stream = world.view.subscribe(a, () => {
      wakes += 1;
    });
    stream.take();
    return { world, stream, wakes: () => wakes };
  };

  it('give the newest state to who reads late, in one delta', () => {
    const { world, stream, wakes } = opened();
    put(world, '1', '/w0', '/spire/agent/a');
    put(world, '2', '/w1', '/spire/agent/a');
    put(world, '1', '/w2', '/spire/agent/a');
    world.change((sequence) => ({ kind: 'entry-deleted', sequence, entryId: '2' }));
    assert.equal(wakes(), 1);
    const update = stream.take();
    assert.deepEqual(
      [update?.kind, update?.upserts.map((entry) => entry.spiffeId.path), update?.deletedIds],
      ['delta', ['/w2'], ['2']],
    );
    assert.equal(update?.revision, world.sequence);
  });

  it('give a snapshot to who is behind by more than 4096 changes', () => {
    const { world, stream } = opened();
    for (let index = 0; index < 4097; index++) put(world, `${index}`, '/w0', '/spire/agent/a');
    const update = stream.take();
    assert.deepEqual([update?.kind, update?.upserts.length], ['snapshot', 4097]);
  });

  it('stay silent about what concerns others', () => {
    const { world, wakes } = opened();
    putAgent(world, 'b');
    put(world, '1', '/w0', '/spire/agent/b');
    put(world, '2', '/alias0', '/spire/server', ['n:9']);
    assert.equal(wakes(), 0);
  });

  it('tell of a ban, a renewal and the end of their agent', () => {
    const { world, stream } = opened();
    putAgent(world, 'a', { newSerial: '2', newExpiresAtSeconds: START_SECONDS });
    assert.equal(stream.take()?.agent?.newSerial, '2');
    putAgent(world, 'a', { banned: true });
    assert.equal(stream.take()?.agent?.banned, true);
    world.change((sequence) => ({ kind: 'agent-deleted', sequence, agentId: a }));
    const update = stream.take();
    assert.ok(update);
    assert.equal(update.agent, undefined);
  });

  it('follow aliases and selectors of their agent', () => {
    const { world, stream } = opened();
    put(world, '1', '/w0', '/alias0');
    put(world, '2', '/alias0', '/spire/server', ['n:1', 'n:2']);
    assert.equal(stream.take(), undefined);
    putAgent(world, 'a', { selectors: selectors('n:2', 'n:1') });
    assert.deepEqual(idsOf(stream.take()?.upserts ?? []), ['1']);
    world.change((sequence) => ({ kind: 'entry-deleted', sequence, entryId: '2' }));
    assert.deepEqual(stream.take()?.deletedIds, ['1']);
  });

  it('resume with a delta where only entries changed, else with a snapshot', () => {
    const { world, stream } = opened();
    put(world, '1', '/w0', '/spire/agent/a');
    put(world, '2', '/w1', '/spire/agent/b');
    const revision = stream.take()?.revision ?? assert.fail();
    stream.close();
    put(world, '3', '/w2', '/spire/agent/a');
    put(world, '4', '/w2', '/spire/agent/b');
    world.change((sequence) => ({ kind: 'entry-deleted', sequence, entryId: '1' }));
    world.change((sequence) => ({ kind: 'entry-deleted', sequence, entryId: '2' }));
    const resume = (feedId: string, from: bigint) =>
      world.view.subscribe(a, () => {}, { feedId, revision: from }).take();
    const delta = resume('feed', revision);
    assert.deepEqual(
      [delta?.kind, idsOf(delta?.upserts ?? []), delta?.deletedIds],
      ['delta', ['3'], ['1']],
    );
    assert.equal(resume('another', revision)?.kind, 'snapshot');
    assert.equal(resume('feed', world.sequence + 1n)?.kind, 'snapshot');
    assert.equal(resume('feed', 0n)?.kind, 'snapshot');
    put(world, '5', '/alias0', '/spire/server');
    assert.equal(resume('feed', revision)?.kind, 'snapshot');
  });

  it('resume with a snapshot where an entry went, and then the one that it hung below', () => {
    const { world } = opened();
    put(world, '1', '/alias', '/spire/agent/a');
    put(world, '2', '/w', '/alias');
    const revision = world.sequence;
    const drop = (entryId: string) =>
      world.change((sequence) => ({ kind: 'entry-deleted', sequence, entryId }));
    drop('2');
    drop('1');
    const update = world.view.subscribe(a, () => {}, { feedId: 'feed', revision }).take();
    assert.deepEqual([update?.kind, update?.upserts], ['snapshot', []]);
  });

  it('resume with a snapshot when more than 16,384 changes were missed', () => {
    const { world, stream } = opened();
    stream.close();
    const from = world.sequence;
    for (let index = 0; index < 16_384; index++) put(world, '1', '/w0', '/spire/agent/b');
    const resume = (revision: bigint) =>
      world.view.subscribe(a, () => {}, { feedId: 'feed', revision }).take()?.kind;
    assert.equal(resume(from), 'snapshot');
    assert.equal(resume(world.sequence - 8192n), 'delta');
    assert.equal(resume(world.sequence - 8193n), 'snapshot');
  });

  it('hear of an entry that expired while they were cut', () => {
    const { world, stream } = opened();
    const expiring = { ...draft('/w0', '/spire/agent/a'), expiresAtSeconds: world.now + 5 };
    world.change((sequence) => ({
      kind: 'entry',
      sequence,
      entry: { ...expiring, id: '1', revision: 0n, createdAtSeconds: 1 },
    }));
    const revision = stream.take()?.revision ?? assert.fail();
    stream.close();
    world.now += 5;
    world.view.expire(world.now);
    const update = world.view.subscribe(a, () => {}, { feedId: 'feed', revision }).take();
    assert.deepEqual([update?.kind, update?.deletedIds], ['delta', ['1']]);
  });
});
