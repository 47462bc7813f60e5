import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { NO_CONNECTORS } from '../../test/support/connector-state.ts';
import { origin } from '../../test/support/kube-rules.ts';
import { assertValue } from '../../test/support/refused.ts';
import {
  agentRecord,
  draft,
  id,
  openState,
  START_SECONDS,
  selectors,
  type TestState,
  TRUST_DOMAIN,
} from '../../test/support/state.ts';
import { type DerivedEntry, deriveEntry } from '../rules/derived.ts';
import type { EntryDraft } from '../rules/entry.ts';
import { createRegistry } from './registry.ts';
import { View } from './view.ts';

const AGENT = id('/spire/agent/a');
const OTHER = id('/spire/agent/b');
const none = { aliasEntry: undefined, joinTokenAnswer: undefined };
const EVERYTHING = { pageSize: 0, pageToken: '' };

function derived(
  path: string,
  extra: Partial<EntryDraft> = {},
  parent = '/spire/agent/a',
): DerivedEntry {
  const entry = deriveEntry(draft(path, parent, extra), 'rack', START_SECONDS);
  return {
    entry,
    source: { cluster: 'rack', rule: origin('ClusterSPIFFEID', 'all'), pod: 'shop/web' },
  };
}

async function open(context: TestContext): Promise<TestState> {
  const state = await openState(context, { derives: true });
  for (const name of ['a', 'b']) {
    assertValue(await state.registry.recordAttestation({ agent: agentRecord(name), ...none }));
  }
  return state;
}

describe('derived entries', () => {
  it('stand in the view as stored ones do, with their source, and never in the store', async (context) => {
    const { registry, store } = await open(context);
    const web = derived('/web');
    registry.derived.apply({ upserts: [web], deletedIds: [] });
    assert.equal(registry.entry(web.entry.id), web.entry);
    assert.deepEqual(registry.authorizedEntries(AGENT), [web.entry]);
    assert.equal(registry.isAuthorized(AGENT, web.entry.id), true);
    assert.equal(registry.isAuthorized(OTHER, web.entry.id), false);
    assert.deepEqual(assertValue(registry.listEntries({}, EVERYTHING)).items, [web.entry]);
    assert.equal(registry.countEntries(), 1);
    assert.equal(registry.derived.count, 1);
    assert.equal(registry.derived.sourceOf(web.entry.id)?.rule.name, 'all');
    assert.deepEqual(assertValue(await store.loadSnapshot()).entries, []);
    registry.derived.apply({ upserts: [], deletedIds: [web.entry.id] });
    assert.equal(registry.entry(web.entry.id), undefined);
    assert.equal(registry.countEntries(), 0);
    assert.equal(registry.derived.sourceOf(web.entry.id), undefined);
  });

  it('are pushed to the agent that they concern, and to no other', async (context) => {
    const { registry } = await open(context);
    const heard: string[] = [];
    const stream = registry.subscribe(AGENT, () => heard.push('a'));
    const other = registry.subscribe(OTHER, () => heard.push('b'));
    stream.take();
    other.take();
    const web = derived('/web');
    registry.derived.apply({ upserts: [web], deletedIds: [] });
    assert.deepEqual(heard, ['a']);
    assert.deepEqual(stream.take()?.upserts, [web.entry]);
    const changed = derived('/web', { hint: 'h' });
    assert.equal(changed.entry.id, web.entry.id);
    registry.derived.apply({ upserts: [changed], deletedIds: [] });
    assert.deepEqual(stream.take()?.upserts, [changed.entry]);
    registry.derived.apply({ upserts: [], deletedIds: [web.entry.id] });
    assert.deepEqual(stream.take()?.deletedIds, [web.entry.id]);
  });

  it('are told to a stream that was cut, whatever changed meanwhile', async (context) => {
    const { registry } = await open(context);
    const [web, db] = [derived('/web'), derived('/db')];
    registry.derived.apply({ upserts: [web], deletedIds: [] });
    const { feedId, sequence: revision } = registry;
    registry.derived.apply({ upserts: [db], deletedIds: [web.entry.id] });
    assertValue(await registry.createEntries([{ draft: draft('/x', '/spire/agent/b') }]));
    const resumed = registry.subscribe(AGENT, () => {}, { feedId, revision }).take();
    assert.equal(resumed?.kind, 'delta');
    assert.deepEqual(resumed.upserts, [db.entry]);
    assert.deepEqual(resumed.deletedIds, [web.entry.id]);
  });

  it('of an earlier process are forgotten by who had them: its streams do not go on', async (context) => {
    const { registry, store, clock, random } = await open(context);
    const { feedId, sequence: revision } = registry;
    const parts = { store, trustDomain: TRUST_DOMAIN, clock, random };
    const next = assertValue(await createRegistry({ ...parts, derives: true }));
    context.after(() => next.close());
    assert.equal(next.subscribe(AGENT, () => {}, { feedId, revision }).take()?.kind, 'snapshot');
    const without = assertValue(await createRegistry(parts));
    context.after(() => without.close());
    assert.equal(without.subscribe(AGENT, () => {}, { feedId, revision }).take()?.kind, 'snapshot');
  });

  it('outlive a view that is read anew', () => {
    const view = new View(TRUST_DOMAIN, () => START_SECONDS);
    const agents = [agentRecord('a')];
    const rest = {
      bundle: undefined,
      revocations: [],
      dpus: [],
      issuingCas: [],
      federations: [],
      federatedBundles: [],
      connectors: NO_CONNECTORS,
      entries: [],
    };
    view.load({ feedId: 'f', sequence: 1n, agents, ...rest });
    const web = derived('/web');
    view.derived.apply({ upserts: [web], deletedIds: [] });
    view.load({ feedId: 'f', sequence: 9n, agents, ...rest });
    assert.deepEqual(view.authorizedEntries(AGENT.uri), [web.entry]);
  });

  it('never take the place of a stored entry', async (context) => {
    const { registry } = await open(context);
    const [created] = assertValue(
      await registry.createEntries([{ id: 'mine', draft: draft('/mine', '/spire/agent/a') }]),
    );
    const web = derived('/web');
    const forged = { ...web, entry: { ...web.entry, id: 'mine' } };
    registry.derived.apply({ upserts: [forged], deletedIds: ['mine'] });
    assert.ok(created !== undefined && 'entry' in created);
    assert.deepEqual(registry.entry('mine'), created.entry);
  });

  it('are subject to quarantine and zones as all entries are', async (context) => {
    const admits = () => (): boolean => false;
    const { registry } = await openState(context, { derives: true, admits });
    assertValue(await registry.recordAttestation({ agent: agentRecord('a'), ...none }));
    registry.derived.apply({ upserts: [derived('/web')], deletedIds: [] });
    assert.deepEqual(registry.authorizedEntries(AGENT), []);
  });
});

describe('agents whose derived entries are not known yet', () => {
  const isA = ({ id: agentId }: { readonly id: { readonly uri: string } }): boolean =>
    agentId.uri === AGENT.uri;

  it('are told nothing until they are, and then everything', async (context) => {
    const { registry } = await open(context);
    const release = registry.derived.holdBack(isA);
    const heard: string[] = [];
    const stream = registry.subscribe(AGENT, () => heard.push('a'));
    const other = registry.subscribe(OTHER, () => heard.push('b'));
    assert.equal(registry.derived.isHeld(AGENT), true);
    assert.equal(registry.derived.isHeld(OTHER), false);
    assert.equal(stream.take(), undefined);
    assert.equal(other.take()?.kind, 'snapshot');
    const web = derived('/web');
    registry.derived.apply({ upserts: [web], deletedIds: [] });
    assert.equal(stream.take(), undefined);
    release();
    assert.deepEqual(heard, ['a']);
    const update = stream.take();
    assert.equal(update?.kind, 'snapshot');
    assert.deepEqual(update.upserts, [web.entry]);
    release();
    assert.equal(registry.derived.isHeld(AGENT), false);
  });

  it('wait for every cluster that holds them', async (context) => {
    const { registry } = await open(context);
    const releases = [registry.derived.holdBack(() => true), registry.derived.holdBack(() => true)];
    releases[0]?.();
    assert.equal(registry.derived.isHeld(AGENT), true);
    releases[1]?.();
    assert.equal(registry.derived.isHeld(AGENT), false);
  });
});

describe('IDs and revisions of derived entries', () => {
  it('are hashes of what they say', () => {
    const one = deriveEntry(draft('/web', '/spire/agent/a'), 'rack', 1);
    assert.deepEqual(deriveEntry(draft('/web', '/spire/agent/a'), 'rack', 1), one);
    const swapped = { selectors: selectors('b:2', 'a:1') };
    const sorted = { selectors: selectors('a:1', 'b:2') };
    const idOf = (extra: Partial<EntryDraft>): string =>
      deriveEntry(draft('/web', '/spire/agent/a', extra), 'rack', 1).id;
    assert.equal(idOf(swapped), idOf(sorted));
    assert.notEqual(idOf(sorted), one.id);
    const changes: readonly Partial<EntryDraft>[] = [
      { hint: 'h' },
      { admin: true },
      { downstream: true },
      { storeSvid: true },
      { dnsNames: ['a.b'] },
      { x509SvidTtlSeconds: 1 },
      { jwtSvidTtlSeconds: 1 },
      { expiresAtSeconds: 1 },
      { federatesWith: [TRUST_DOMAIN] },
      { disableX509SvidPrefetch: true },
      { jwtSvidIncludeJti: true },
    ];
    const revisions = changes.map(
      (extra) => deriveEntry(draft('/web', '/spire/agent/a', extra), 'rack', 1).revision,
    );
    assert.equal(new Set([one.revision, ...revisions]).size, changes.length + 1);
    for (const extra of changes) assert.equal(idOf(extra), one.id);
  });
});
