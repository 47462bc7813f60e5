import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import {
  agentRecord,
  dpuDraft,
  draft,
  id,
  START_SECONDS as NOW,
  revocation,
  selectors,
  TRUST_DOMAIN,
  temporaryFolder,
} from '../../test/support/state.ts';
import { makeIntermediate, makeKey, makeRoot } from '../../test/support/x509.ts';
import { type Result, unwrap } from '../base/result.ts';
import type { AgentRecord, Entry, EntryDraft } from '../rules/entry.ts';
import type { FederationDraft } from '../rules/federation.ts';
import type { IssuingCa } from '../rules/issuing-ca.ts';
import { REVOCATION_GRACE_SECONDS } from '../rules/revocation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import type { FederatedBundleWrite } from './federation.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import type { AttestationWrite, Change, Store } from './store.ts';

interface Backend {
  readonly name: string;
  /** Opens a database at a place; the same place twice is the same database. */
  open(place: string, keptChanges?: number): Promise<Store>;
}

/** Every backend has to behave alike: what is proven here is proven for each of them. */
const BACKENDS: readonly Backend[] = [
  {
    name: 'SQLite',
    open: async (place, keptChanges) =>
      unwrap(
        await openSqliteStore({
          path: join(place, 'signet.db'),
          trustDomain: TRUST_DOMAIN,
          ...(keptChanges === undefined ? {} : { keptChanges }),
        }),
      ),
  },
];

function attestation(agent: AgentRecord, extra: Partial<AttestationWrite> = {}): AttestationWrite {
  return { agent, aliasEntry: undefined, joinTokenAnswer: undefined, nowSeconds: NOW, ...extra };
}

const token = (tokenHash: string, expiresAtSeconds = NOW + 600) => ({
  tokenHash,
  expiresAtSeconds,
  aliasId: undefined,
});

function makeBundle(): Bundle {
  const { certificate } = makeRoot();
  return {
    trustDomain: TRUST_DOMAIN,
    x509Authorities: [{ certificate, tainted: true }],
    jwtAuthorities: [
      { keyId: 'k1', publicKeySpki: makeKey().spki, expiresAtSeconds: NOW + 5, tainted: false },
    ],
    sequence: 0n,
    refreshHintSeconds: 300,
  };
}

const domain = (name: string) => unwrap(parseTrustDomain(name));

async function putBundle(store: Store, name: string, extra: Partial<Bundle> = {}) {
  const bundle = { ...makeBundle(), trustDomain: domain(name), ...extra };
  const write = { bundle, origin: '', mode: 'set' } as const;
  const [written] = unwrap(await store.writeFederatedBundles([write]));
  assert.equal(written?.outcome, 'written');
  return written.value;
}

async function changes(store: Store, after = 0n): Promise<readonly Change[]> {
  return unwrap(await store.changesAfter(after, 1000));
}

async function entries(store: Store): Promise<readonly Entry[]> {
  return unwrap(await store.loadSnapshot()).entries;
}

async function createOne(store: Store, entryId: string, entry: EntryDraft): Promise<Entry> {
  const [created] = unwrap(await store.createEntries([{ id: entryId, draft: entry }], NOW));
  assert.equal(created?.outcome, 'created');
  return created.entry;
}

for (const backend of BACKENDS) {
  const opened = async (context: TestContext, keptChanges?: number): Promise<Store> => {
    const store = await backend.open(await temporaryFolder(context), keptChanges);
    context.after(() => store.close());
    return store;
  };

  describe(`entries in ${backend.name}`, () => {
    it('come back as they were stated, after a restart too', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      const full = draft('/web', '/spire/agent/a', {
        selectors: selectors('unix:uid:1', "k8s:ns:'; DROP TABLE entries;--", 'x:\u2028字'),
        x509SvidTtlSeconds: 60,
        jwtSvidTtlSeconds: 30,
        federatesWith: [unwrap(parseTrustDomain('b.org'))],
        admin: true,
        downstream: true,
        expiresAtSeconds: NOW + 5,
        dnsNames: ['a.org', 'b.org'],
        storeSvid: true,
        hint: 'h"\\',
        disableX509SvidPrefetch: true,
        jwtSvidIncludeJti: true,
      });
      const plain = draft('/db', '/spire/agent/a');
      await putBundle(store, 'b.org');
      const stated = [await createOne(store, 'b', full), await createOne(store, 'a', plain)];
      assert.deepEqual(stated[0], { ...full, id: 'b', revision: 0n, createdAtSeconds: NOW });
      await store.close();
      const again = await backend.open(place);
      assert.deepEqual(await entries(again), [stated[1], stated[0]]);
      await again.close();
    });

    it('are the same by parent, SPIFFE ID and selectors in any order', async (context) => {
      const store = await opened(context);
      const base = draft('/web', '/p', { selectors: selectors('a:1', 'b:2') });
      const first = await createOne(store, 'one', base);
      const twin = { ...base, selectors: selectors('b:2', 'a:1'), hint: 'other' };
      const drafts = [
        twin,
        { ...base, selectors: selectors('a:1') },
        { ...base, parentId: id('/q') },
        { ...base, spiffeId: id('/db') },
        { ...base, spiffeId: id('/db'), admin: true },
      ];
      const outcomes = unwrap(
        await store.createEntries(
          drafts.map((entry, index) => ({ id: `n${index}`, draft: entry })),
          NOW,
        ),
      );
      assert.deepEqual(
        outcomes.map((one) => [one.outcome, 'entry' in one ? one.entry.id : '']),
        [
          ['exists', 'one'],
          ['created', 'n1'],
          ['created', 'n2'],
          ['created', 'n3'],
          ['exists', 'n3'],
        ],
      );
      assert.deepEqual(outcomes[0], { outcome: 'exists', entry: first });
      assert.equal((await entries(store)).length, 4);
    });

    it('under an ID that is taken are not created', async (context) => {
      const store = await opened(context);
      await createOne(store, 'one', draft('/web', '/p'));
      const [second] = unwrap(
        await store.createEntries([{ id: 'one', draft: draft('/db', '/p') }], NOW),
      );
      assert.equal(second?.outcome, 'exists');
      assert.equal((await entries(store))[0]?.spiffeId.uri, 'spiffe://example.org/web');
    });

    it('are updated with a higher revision, never over another or a newer one', async (context) => {
      const store = await opened(context);
      await createOne(store, 'one', draft('/web', '/p'));
      await createOne(store, 'two', draft('/db', '/p'));
      const outcomes = unwrap(
        await store.updateEntries([
          { id: 'one', draft: draft('/web', '/p', { hint: 'a' }), expectedRevision: 0n },
          { id: 'one', draft: draft('/web', '/p', { hint: 'b' }), expectedRevision: 0n },
          { id: 'one', draft: draft('/web', '/p', { hint: 'c' }) },
          { id: 'one', draft: draft('/db', '/p') },
          { id: 'none', draft: draft('/x', '/p') },
        ]),
      );
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ['updated', 'conflict', 'updated', 'exists', 'missing'],
      );
      const [one] = await entries(store);
      assert.deepEqual([one?.hint, one?.revision, one?.createdAtSeconds], ['c', 2n, NOW]);
      // Its old place is free again once it moved.
      unwrap(await store.updateEntries([{ id: 'one', draft: draft('/new', '/p') }]));
      await createOne(store, 'three', draft('/web', '/p'));
    });

    it('are deleted once', async (context) => {
      const store = await opened(context);
      await createOne(store, 'one', draft('/web', '/p'));
      const deleted = unwrap(await store.deleteEntries(['one', 'one', 'none']));
      assert.deepEqual(deleted, [true, false, false]);
      assert.deepEqual(await entries(store), []);
    });

    it('past their expiry are pruned, at the second of it', async (context) => {
      const store = await opened(context);
      await createOne(store, 'now', draft('/a', '/p', { expiresAtSeconds: NOW }));
      await createOne(store, 'next', draft('/b', '/p', { expiresAtSeconds: NOW + 1 }));
      await createOne(store, 'never', draft('/c', '/p'));
      unwrap(await store.prune(NOW));
      assert.deepEqual(
        (await entries(store)).map((entry) => entry.id),
        ['never', 'next'],
      );
    });
  });

  describe(`change feed of ${backend.name}`, () => {
    it('tells every change in order, and nothing for what changed nothing', async (context) => {
      const store = await opened(context);
      const entry = await createOne(store, 'one', draft('/web', '/p'));
      await store.createEntries([{ id: 'two', draft: draft('/web', '/p') }], NOW);
      await store.deleteEntries(['none']);
      unwrap(await store.recordAttestation(attestation(agentRecord('a'))));
      unwrap(await store.commitAuthorities(authorities(0n)));
      unwrap(await store.deleteAgent(id('/spire/agent/a')));
      const feed = await changes(store);
      assert.deepEqual(
        feed.map(({ sequence, kind }) => [sequence, kind]),
        [
          [1n, 'entry'],
          [2n, 'agent-deleted'],
          [3n, 'bundle'],
          [4n, 'agent-deleted'],
        ],
      );
      assert.deepEqual(feed[0], { kind: 'entry', sequence: 1n, entry });
      assert.deepEqual(await changes(store, 3n), feed.slice(3));
      assert.deepEqual(await changes(store, 4n), []);
      assert.deepEqual(unwrap(await store.changesAfter(0n, 2)), feed.slice(0, 2));
      assert.equal(unwrap(await store.loadSnapshot()).sequence, 4n);
    });

    it('wakes before the write that made the change answers', async (context) => {
      const store = await opened(context);
      const heard: string[] = [];
      const stop = store.onWake(() => heard.push('wake'));
      await createOne(store, 'one', draft('/web', '/p'));
      heard.push('answer');
      unwrap(await store.deleteEntries(['none']));
      stop();
      unwrap(await store.deleteEntries(['one']));
      assert.deepEqual(heard, ['wake', 'answer']);
    });

    it('forgets the oldest changes and says so', async (context) => {
      const store = await opened(context, 8);
      for (let index = 0; index < 20; index++) {
        await createOne(store, `e${index}`, draft(`/s${index}`, '/p'));
      }
      const gap = await store.changesAfter(0n, 10);
      assert.equal(gap.ok ? 'kept' : gap.error.code, 'STORE_FEED_GAP');
      assert.equal((await changes(store, 18n)).length, 2);
      const ahead = await store.changesAfter(21n, 10);
      assert.equal(ahead.ok ? 'kept' : ahead.error.code, 'STORE_FEED_GAP');
    });

    it('goes on after a restart, under another identity', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place, 4);
      for (let index = 0; index < 9; index++) {
        await createOne(store, `e${index}`, draft(`/s${index}`, '/p'));
      }
      const { feedId } = unwrap(await store.loadSnapshot());
      await store.close();
      const again = await backend.open(place, 4);
      const snapshot = unwrap(await again.loadSnapshot());
      assert.equal(snapshot.sequence, 9n);
      assert.notEqual(snapshot.feedId, feedId);
      await createOne(again, 'next', draft('/next', '/p'));
      assert.equal((await changes(again, 9n))[0]?.sequence, 10n);
      await again.close();
    });

    it('and snapshot fit while writes go on', async (context) => {
      const store = await opened(context);
      const create = (index: number) => createOne(store, `e${index}`, draft(`/s${index}`, '/p'));
      for (let index = 0; index < 50; index++) await create(index);
      const [snapshot] = await Promise.all([
        store.loadSnapshot(),
        ...Array.from({ length: 50 }, (_, index) => create(50 + index)),
      ]);
      const { sequence, entries: loaded } = unwrap(snapshot);
      assert.equal(BigInt(loaded.length), sequence);
      assert.equal((await changes(store, sequence)).length, 100 - loaded.length);
    });
  });

  describe(`agents in ${backend.name}`, () => {
    const stored = async (store: Store): Promise<AgentRecord | undefined> =>
      unwrap(await store.loadSnapshot()).agents[0];

    it('come back as they were recorded', async (context) => {
      const store = await opened(context);
      const agent = agentRecord('a', {
        selectors: selectors('x509pop:subject:cn:a', 'x:y'),
        serial: '340282366920938463463374607431768211455',
        newSerial: '7',
        newExpiresAtSeconds: NOW + 9,
        canReattest: true,
        agentVersion: '1.2.3',
        assurance: {
          method: 'dpu',
          binding: 'dual',
          zone: 0,
          release: 'bf3-24.10',
          atSeconds: NOW,
        },
      });
      unwrap(await store.recordAttestation(attestation(agent)));
      assert.deepEqual(await stored(store), agent);
      const again = agentRecord('a', { serial: '2' });
      unwrap(await store.recordAttestation(attestation(again)));
      assert.deepEqual(await stored(store), again);
    });

    it('change by steps that do not undo one another', async (context) => {
      const store = await opened(context);
      const agent = agentRecord('a');
      unwrap(await store.recordAttestation(attestation(agent)));
      const renewed = { kind: 'renewed', newSerial: '2', newExpiresAtSeconds: NOW + 9 } as const;
      const results = await Promise.all([
        store.changeAgent(agent.id, renewed),
        store.changeAgent(agent.id, { kind: 'status', agentVersion: 'v' }),
        store.changeAgent(agent.id, { kind: 'promoted', serial: '3' }),
      ]);
      assert.deepEqual(unwrap(results[2] ?? assert.fail()), {
        ...agent,
        agentVersion: 'v',
        newSerial: '2',
        newExpiresAtSeconds: NOW + 9,
      });
      unwrap(await store.changeAgent(agent.id, { kind: 'promoted', serial: '2' }));
      assert.deepEqual(await stored(store), {
        ...agent,
        agentVersion: 'v',
        serial: '2',
        expiresAtSeconds: NOW + 9,
      });
    });

    it('are confirmed under the SVID that was looked at, and under no other', async (context) => {
      const store = await opened(context);
      const agent = agentRecord('a');
      unwrap(await store.recordAttestation(attestation(agent)));
      const confirmed = {
        kind: 'confirmed',
        assurance: { method: 'dpu', binding: 'dual', zone: 1, release: 'r2', atSeconds: NOW },
        selectors: selectors('dpu:binding:dual'),
      } as const;
      const other = unwrap(
        await store.changeAgent(agent.id, { ...confirmed, serial: `${agent.serial}0` }),
      );
      assert.deepEqual(other, agent);
      const { kind: _kind, ...facts } = confirmed;
      const raised = unwrap(
        await store.changeAgent(agent.id, { ...confirmed, serial: agent.serial }),
      );
      assert.deepEqual(raised, { ...agent, ...facts });
      unwrap(await store.changeAgent(agent.id, { kind: 'banned' }));
      const late = unwrap(
        await store.changeAgent(agent.id, {
          ...confirmed,
          serial: agent.serial,
          selectors: [],
        }),
      );
      assert.deepEqual(late, { ...agent, ...facts, banned: true });
    });

    it('stay banned, whatever is under way', async (context) => {
      const store = await opened(context);
      const agent = agentRecord('a');
      unwrap(await store.recordAttestation(attestation(agent)));
      const [, renewal, reattestation] = await Promise.all([
        store.changeAgent(agent.id, { kind: 'banned' }),
        store.changeAgent(agent.id, { kind: 'renewed', newSerial: '2', newExpiresAtSeconds: NOW }),
        store.recordAttestation(attestation(agentRecord('a', { serial: '9' }))),
      ]);
      assert.equal(unwrap(renewal)?.newSerial, undefined);
      assert.equal(reattestation.ok ? 'recorded' : reattestation.error.code, 'AGENT_BANNED');
      assert.deepEqual(reattestation.ok ? {} : reattestation.error.details, {
        reason: 'AGENT_BANNED',
      });
      assert.deepEqual(await stored(store), { ...agent, banned: true });
    });

    it('that are gone answer so', async (context) => {
      const store = await opened(context);
      const { id: agentId } = agentRecord('a');
      assert.equal(unwrap(await store.changeAgent(agentId, { kind: 'banned' })), undefined);
      assert.equal(unwrap(await store.deleteAgent(agentId)), false);
    });

    it('take their own alias with them, and no other entry', async (context) => {
      const store = await opened(context);
      const agent = agentRecord('a');
      const alias = draft('/alias', '/spire/server', {
        selectors: selectors(`spiffe_id:${agent.id.uri}`),
      });
      const aliasEntry = { id: 'alias', draft: alias };
      await createOne(store, 'like', { ...alias, spiffeId: id('/other') });
      unwrap(await store.recordAttestation(attestation(agent, { aliasEntry })));
      assert.equal((await entries(store)).length, 2);
      assert.equal(unwrap(await store.deleteAgent(agent.id)), true);
      assert.deepEqual(
        (await entries(store)).map((entry) => entry.id),
        ['like'],
      );
      assert.deepEqual(unwrap(await store.loadSnapshot()).agents, []);
    });

    it('that expired are pruned, at the second of it, the first that ended first', async (context) => {
      const store = await opened(context);
      const record = (name: string, extra: Partial<AgentRecord>) =>
        store.recordAttestation(attestation(agentRecord(name, { canReattest: true, ...extra })));
      unwrap(await record('b', { expiresAtSeconds: NOW }));
      unwrap(await record('a', { expiresAtSeconds: NOW - 1 }));
      unwrap(await record('next', { expiresAtSeconds: NOW + 1 }));
      unwrap(await record('banned', { expiresAtSeconds: NOW - 9, banned: true }));
      unwrap(await record('token', { expiresAtSeconds: NOW - 9, canReattest: false }));
      unwrap(await record('renewed', { expiresAtSeconds: NOW - 9 }));
      const renewal = { kind: 'renewed', newSerial: '2', newExpiresAtSeconds: NOW + 1 } as const;
      unwrap(await store.changeAgent(agentRecord('renewed').id, renewal));
      const left = async () =>
        unwrap(await store.loadSnapshot()).agents.map(({ id: { path } }) => path.split('/').at(-1));
      const prune = async (limit: number, nonReattestable = false) =>
        unwrap(await store.pruneAgents({ expiredBySeconds: NOW, nonReattestable, limit }));

      assert.equal(await prune(1), 1);
      assert.deepEqual(await left(), ['b', 'banned', 'next', 'renewed', 'token']);
      assert.equal(await prune(9), 1);
      assert.deepEqual(await left(), ['banned', 'next', 'renewed', 'token']);
      assert.equal(await prune(9), 0);
      assert.equal(await prune(9, true), 1);
      assert.deepEqual(await left(), ['banned', 'next', 'renewed']);
    });

    it('that are pruned leave the feed and take their alias along', async (context) => {
      const store = await opened(context);
      const agent = agentRecord('a', { expiresAtSeconds: NOW, canReattest: true });
      const aliasEntry = { id: 'alias', draft: draft('/node', '/spire/server') };
      unwrap(await store.recordAttestation(attestation(agent, { aliasEntry })));
      const { sequence } = unwrap(await store.loadSnapshot());
      unwrap(await store.pruneAgents({ expiredBySeconds: NOW, nonReattestable: false, limit: 1 }));
      assert.deepEqual(
        unwrap(await store.changesAfter(sequence, 10)).map(({ kind }) => kind),
        ['agent-deleted', 'entry-deleted'],
      );
    });
  });

  describe(`join tokens in ${backend.name}`, () => {
    const claim = async (store: Store, key: string, now = NOW) =>
      unwrap(await store.claimJoinToken('t', key, now)).outcome;

    it('F1 has exactly one winner among 100 claims at once', async (context) => {
      const store = await opened(context);
      unwrap(await store.createJoinToken(token('t')));
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, (_, index) => claim(store, `key-${index}`)),
      );
      assert.equal(outcomes.filter((outcome) => outcome === 'claimed').length, 1);
      assert.equal(outcomes.filter((outcome) => outcome === 'consumed').length, 99);
    });

    it('F1 stays consumed across a restart', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      unwrap(await store.createJoinToken(token('t')));
      assert.equal(await claim(store, 'k'), 'claimed');
      await store.close();
      const again = await backend.open(place);
      assert.equal(await claim(again, 'other'), 'consumed');
      assert.equal(await claim(again, 'k'), 'retry');
      await again.close();
    });

    it('F2 is claimable until its last second, and is not consumed by a late claim', async (context) => {
      const store = await opened(context);
      unwrap(await store.createJoinToken(token('t', NOW + 10)));
      assert.equal(await claim(store, 'k', NOW + 10), 'expired');
      assert.equal(await claim(store, 'k', NOW + 11), 'expired');
      assert.equal(await claim(store, 'k', NOW + 9), 'claimed');
    });

    it('answers a lost reply for 60 seconds to the same key alone', async (context) => {
      const store = await opened(context);
      unwrap(await store.createJoinToken({ ...token('t', NOW + 1), aliasId: id('/alias') }));
      const first = unwrap(await store.claimJoinToken('t', 'k', NOW));
      assert.deepEqual(first, {
        outcome: 'claimed',
        token: { ...token('t', NOW + 1), aliasId: id('/alias') },
      });
      const unanswered = unwrap(await store.claimJoinToken('t', 'k', NOW));
      assert.equal(unanswered.outcome === 'retry' ? unanswered.answer : 'none', undefined);
      const joinTokenAnswer = { tokenHash: 't', answer: Uint8Array.of(1, 2, 3) };
      unwrap(await store.recordAttestation(attestation(agentRecord('a'), { joinTokenAnswer })));
      const answered = unwrap(await store.claimJoinToken('t', 'k', NOW + 60));
      assert.deepEqual(
        answered.outcome === 'retry' ? [...(answered.answer ?? [])] : answered.outcome,
        [1, 2, 3],
      );
      assert.equal(await claim(store, 'k', NOW + 61), 'consumed');
      assert.equal(await claim(store, 'other', NOW), 'consumed');
    });

    it('is made once, and forgotten after its end and the time for a retry', async (context) => {
      const store = await opened(context);
      assert.equal(unwrap(await store.createJoinToken(token('t', NOW))), 'created');
      assert.equal(unwrap(await store.createJoinToken(token('t', NOW + 9))), 'exists');
      unwrap(await store.prune(NOW + 60));
      assert.equal(await claim(store, 'k', NOW + 60), 'expired');
      unwrap(await store.prune(NOW + 61));
      assert.equal(await claim(store, 'k', NOW + 61), 'unknown');
    });
  });

  describe(`authorities in ${backend.name}`, () => {
    it('A4 are committed by one of two at once', async (context) => {
      const store = await opened(context);
      const results = await Promise.all([
        store.commitAuthorities(authorities(0n)),
        store.commitAuthorities(authorities(0n)),
      ]);
      assert.deepEqual(
        results.map((result) => (result.ok ? result.value.version : result.error.code)),
        [1n, 'STORE_CONFLICT'],
      );
    });

    it('keep sealed keys by slot, written by compare-and-swap', async (context) => {
      const store = await opened(context);
      assert.deepEqual(unwrap(await store.loadSealedKeys()), []);
      const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
      const write = (expectedVersion: bigint, sealed: Uint8Array | undefined) =>
        store.writeSealedKey({ slot: 'a', expectedVersion, sealed });
      assert.equal(unwrap(await write(0n, Uint8Array.of(1))), 1n);
      for (const version of [0n, 2n]) {
        assert.equal(code(await write(version, Uint8Array.of(9))), 'STORE_CONFLICT');
      }
      assert.equal(unwrap(await write(1n, Uint8Array.of(2))), 2n);
      const [row] = unwrap(await store.loadSealedKeys());
      assert.deepEqual(
        { ...row, sealed: [...(row?.sealed ?? [])] },
        { slot: 'a', version: 2n, sealed: [2] },
      );
      assert.equal(unwrap(await write(2n, undefined)), 3n);
      assert.equal(code(await write(0n, Uint8Array.of(3))), 'STORE_CONFLICT');
      const given = [{ slot: 'a', version: 3n, sealed: undefined }];
      assert.deepEqual(unwrap(await store.loadSealedKeys()), given);
    });

    it('keep values by name, written and taken away by compare-and-swap', async (context) => {
      const store = await opened(context);
      assert.deepEqual(unwrap(await store.loadKeptValues()), []);
      const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
      const write = (expectedVersion: bigint, value: Uint8Array | undefined) =>
        store.writeKeptValue({ name: 'a', expectedVersion, value });
      assert.equal(unwrap(await write(0n, Uint8Array.of(1))), 1n);
      for (const version of [0n, 2n]) {
        assert.equal(code(await write(version, Uint8Array.of(9))), 'STORE_CONFLICT');
      }
      assert.equal(unwrap(await write(1n, Uint8Array.of(2))), 2n);
      const [row] = unwrap(await store.loadKeptValues());
      assert.deepEqual([row?.name, row?.version, [...(row?.value ?? [])]], ['a', 2n, [2]]);
      assert.equal(unwrap(await write(2n, undefined)), 0n);
      assert.deepEqual(unwrap(await store.loadKeptValues()), []);
      assert.equal(unwrap(await write(0n, Uint8Array.of(3))), 1n);
    });

    it('keep the highest mark of each manifest, all of a set or none', async (context) => {
      const place = await temporaryFolder(context);
      const mark = (id: string, sequence: number, sha256 = `${sequence}`) => ({
        id,
        sequence,
        sha256,
      });
      const store = await backend.open(place);
      const raise = async (from: Store, ...marks: readonly ReturnType<typeof mark>[]) =>
        unwrap(await from.raiseManifestMarks(marks)).map(({ id, sequence }) => `${id}${sequence}`);
      assert.deepEqual(await raise(store, mark('a', 7), mark('b', 1)), ['a7', 'b1']);
      assert.deepEqual(await raise(store, mark('a', 7)), ['a7'], 'the very same again');
      assert.deepEqual(await raise(store, mark('b', 2), mark('a', 6)), ['b1', 'a7']);
      assert.deepEqual(await raise(store, mark('c', 1), mark('a', 7, 'other')), ['c0', 'a7']);
      assert.deepEqual(await raise(store, mark('a', 8), mark('b', 1)), ['a8', 'b1']);
      await store.close();
      const again = await backend.open(place);
      context.after(() => again.close());
      assert.deepEqual(await raise(again, mark('a', 7)), ['a8'], 'kept across a restart');
      assert.deepEqual(await raise(again, mark('b', 2), mark('c', 1)), ['b2', 'c1']);
    });

    it('come back with their bundle, whose sequence counts up by one', async (context) => {
      const store = await opened(context);
      assert.deepEqual(unwrap(await store.loadJournal()), {
        version: 0n,
        journal: undefined,
        bundle: undefined,
      });
      const bundle = makeBundle();
      const first = unwrap(await store.commitAuthorities({ ...authorities(0n), bundle }));
      assert.equal(first.bundle?.sequence, 1n);
      unwrap(await store.commitAuthorities({ ...authorities(1n), bundle: undefined }));
      const second = unwrap(await store.commitAuthorities({ ...authorities(2n), bundle }));
      assert.deepEqual(second, { version: 3n, bundle: { ...bundle, sequence: 2n } });
      const loaded = unwrap(await store.loadJournal());
      assert.equal(loaded.version, 3n);
      assert.deepEqual([...(loaded.journal ?? [])], [1, 2]);
      const snapshot = unwrap(await store.loadSnapshot());
      for (const stored of [loaded.bundle, snapshot.bundle]) {
        assert.equal(stored?.sequence, 2n);
        assert.equal(stored.refreshHintSeconds, 300);
        assert.equal(stored.x509Authorities[0]?.tainted, true);
        assert.deepEqual(
          Buffer.from(stored.x509Authorities[0]?.certificate.der ?? []),
          Buffer.from(bundle.x509Authorities[0]?.certificate.der ?? []),
        );
        assert.deepEqual(
          { ...stored.jwtAuthorities[0], publicKeySpki: undefined },
          { ...bundle.jwtAuthorities[0], publicKeySpki: undefined },
        );
      }
    });
  });

  describe(`acknowledged bundles in ${backend.name}`, () => {
    const ack = (name: string, sequence: bigint, heardAtMs = 1000) => ({
      agentId: id(`/spire/agent/${name}`).uri,
      sequence,
      heardAtMs,
    });

    it('are kept one for each agent that there is, the last one', async (context) => {
      const store = await opened(context);
      for (const name of ['a', 'b']) {
        unwrap(await store.recordAttestation(attestation(agentRecord(name))));
      }
      unwrap(await store.recordBundleAcks([ack('a', 3n), ack('b', 4n), ack('nobody', 9n)]));
      unwrap(await store.recordBundleAcks([ack('a', 2n, 2000)]));
      const kept = unwrap(await store.loadBundleAcks());
      assert.deepEqual(
        kept.toSorted((one, two) => one.agentId.localeCompare(two.agentId)),
        [ack('a', 2n, 2000), ack('b', 4n)],
      );
      unwrap(await store.deleteAgent(id('/spire/agent/a')));
      assert.deepEqual(unwrap(await store.loadBundleAcks()), [ack('b', 4n)]);
    });

    it('are no part of the change feed', async (context) => {
      const store = await opened(context);
      unwrap(await store.recordAttestation(attestation(agentRecord('a'))));
      const { sequence } = unwrap(await store.loadSnapshot());
      unwrap(await store.recordBundleAcks([ack('a', 3n)]));
      assert.equal(unwrap(await store.loadSnapshot()).sequence, sequence);
    });
  });

  describe(`copies of ledgers in ${backend.name}`, () => {
    it('keeps tiles and checkpoints of each ledger apart, the last ones, across a restart', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      const tile = (path: string, ...bytes: number[]) => ({ path, bytes: Uint8Array.of(...bytes) });
      const head = (size: number) => ({ size, checkpoint: Uint8Array.of(size) });
      const before = unwrap(await store.loadSnapshot()).sequence;
      assert.equal(unwrap(await store.ledgerCopy('a')), undefined);
      const tiles = [tile('tile/0/000', 1), tile('tile/entries/000', 2)];
      unwrap(await store.putLedgerCopy({ origin: 'a', tiles, head: head(1) }));
      const others = [tile('tile/0/000', 9)];
      unwrap(await store.putLedgerCopy({ origin: 'b', tiles: others, head: head(5) }));
      const grown = [tile('tile/0/000', 1, 1)];
      unwrap(await store.putLedgerCopy({ origin: 'a', tiles: grown, head: undefined }));
      assert.equal(unwrap(await store.loadSnapshot()).sequence, before, 'no line in the feed');
      await store.close();
      const again = await backend.open(place);
      const read = async (origin: string, path: string) => {
        const bytes = unwrap(await again.ledgerCopyTile(origin, path));
        return bytes && [...bytes];
      };
      assert.deepEqual(await read('a', 'tile/0/000'), [1, 1]);
      assert.deepEqual(await read('a', 'tile/entries/000'), [2]);
      assert.deepEqual(await read('b', 'tile/0/000'), [9]);
      assert.equal(await read('b', 'tile/entries/000'), undefined);
      const kept = unwrap(await again.ledgerCopy('a'));
      assert.deepEqual([kept?.size, ...(kept?.checkpoint ?? [])], [1, 1]);
      await again.close();
    });
  });

  describe(`revocations of ${backend.name}`, () => {
    it('are kept, told once, and forgotten an hour after their SVID has ended', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      const named = revocation('1', {
        issuerDer: Buffer.from([0x30, 0]),
        reason: 'key-compromise',
      });
      const minted = revocation('2', { agentId: undefined, notAfterSeconds: NOW + 7200 });
      assert.deepEqual(unwrap(await store.revoke([named, minted])), ['1', '2']);
      const again = { ...named, reason: 'superseded' } as const;
      assert.deepEqual(unwrap(await store.revoke([again])), []);
      const changes = unwrap(await store.changesAfter(0n, 10));
      assert.deepEqual(
        changes.map((change) => (change.kind === 'revocation' ? change.revocation : change.kind)),
        [named, minted],
      );
      await store.close();
      const reopened = await backend.open(place);
      const kept = async () => unwrap(await reopened.loadSnapshot()).revocations;
      assert.deepEqual(await kept(), [named, minted]);
      const endedSeconds = named.notAfterSeconds + REVOCATION_GRACE_SECONDS;
      unwrap(await reopened.prune(endedSeconds - 1));
      assert.equal((await kept()).length, 2);
      unwrap(await reopened.prune(endedSeconds));
      assert.deepEqual(await kept(), [minted]);
      const told = unwrap(await reopened.changesAfter(0n, 10));
      assert.deepEqual(
        told.map(({ kind }) => kind),
        ['ended', 'revocation'],
      );
      await reopened.close();
    });
  });

  describe(`issuing CAs of ${backend.name}`, () => {
    it('go through their states one way only, and are forgotten an hour after their end', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      const { certificate } = makeIntermediate(makeRoot());
      const made: IssuingCa = {
        authorityId: 'ab',
        certificate,
        server: 'one',
        state: 'issuing',
        sinceSeconds: NOW,
      };
      const put = async (state: IssuingCa['state']) =>
        unwrap(await store.putIssuingCa({ ...made, state })).state;
      const states = [];
      for (const state of ['issuing', 'tainted', 'old', 'issuing', 'revoked', 'tainted'] as const)
        states.push(await put(state));
      assert.deepEqual(states, ['issuing', 'tainted', 'tainted', 'tainted', 'revoked', 'revoked']);
      const changes = unwrap(await store.changesAfter(0n, 10));
      assert.deepEqual(
        changes.map((change) => (change.kind === 'issuing-ca' ? change.issuingCa.state : '')),
        ['revoked', 'revoked', 'revoked'],
        'one line for each state that was entered',
      );
      await store.close();
      const reopened = await backend.open(place);
      const kept = async () => unwrap(await reopened.loadSnapshot()).issuingCas;
      assert.deepEqual(await kept(), [{ ...made, state: 'revoked' }]);
      const endedSeconds = certificate.notAfterMs / 1000 + REVOCATION_GRACE_SECONDS;
      unwrap(await reopened.prune(endedSeconds - 1));
      assert.equal((await kept()).length, 1);
      unwrap(await reopened.prune(endedSeconds));
      assert.deepEqual(await kept(), []);
      assert.equal(unwrap(await reopened.changesAfter(0n, 1))[0]?.kind, 'ended');
      await reopened.close();
    });
  });

  describe(`other trust domains in ${backend.name}`, () => {
    const relationship = (name: string, extra: Partial<FederationDraft> = {}): FederationDraft => ({
      trustDomain: domain(name),
      bundleEndpointUrl: `https://${name}/`,
      profile: { kind: 'https_spiffe', endpointId: id(`/endpoint`) },
      origin: '',
      ...extra,
    });
    const create = async (store: Store, draft: FederationDraft) =>
      unwrap(await store.writeFederations([{ federation: draft, mode: 'create' }]))[0];

    it('are kept as they were stated, with sequences of 64 bits, after a restart too', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      const web = relationship('a.test', { profile: { kind: 'https_web' }, origin: 'kube/one' });
      await create(store, web);
      await create(store, relationship('b.test'));
      const sequence = 2n ** 64n - 1n;
      const [jwt] = makeBundle().jwtAuthorities;
      assert.ok(jwt);
      const jwtAuthorities = [{ ...jwt, algorithm: 'ES256' as const }];
      const held = await putBundle(store, 'a.test', { sequence, jwtAuthorities });
      await store.close();
      const again = await backend.open(place);
      context.after(() => again.close());
      const { federations, federatedBundles } = unwrap(await again.loadSnapshot());
      assert.deepEqual(federations, [
        { ...web, revision: 1n },
        { ...relationship('b.test'), revision: 2n },
      ]);
      assert.deepEqual(federatedBundles, [held]);
      assert.equal(federatedBundles[0]?.bundle.sequence, sequence);
    });

    it('are created once, updated where they are, and only from the revision that was read', async (context) => {
      const store = await backend.open(await temporaryFolder(context));
      context.after(() => store.close());
      const one = relationship('a.test');
      const write = async (mode: 'create' | 'update' | 'set', expectedRevision?: bigint) =>
        unwrap(await store.writeFederations([{ federation: one, mode, expectedRevision }]))[0]
          ?.outcome;
      assert.equal(await write('update'), 'missing');
      assert.equal(await write('create'), 'written');
      assert.equal(await write('create'), 'exists');
      assert.equal(await write('update', 0n), 'conflict');
      assert.equal(await write('update', 1n), 'written');
      assert.equal(await write('set', 1n), 'conflict');
      const bundle = { ...makeBundle(), trustDomain: domain('a.test') };
      const put = async (expectedFederation: bigint) =>
        unwrap(
          await store.writeFederatedBundles([
            { bundle, origin: '', mode: 'set', expectedRevision: 0n, expectedFederation },
          ]),
        )[0]?.outcome;
      assert.equal(await put(1n), 'conflict');
      assert.deepEqual(unwrap(await store.deleteFederations([{ trustDomain: 'a.test' }])), [true]);
      assert.equal(await put(2n), 'conflict', 'of a relationship that ended');
    });

    it('made anew are others than those that were deleted, whatever was read of them', async (context) => {
      const store = await opened(context);
      const first = await create(store, relationship('a.test'));
      const bundle = await putBundle(store, 'a.test');
      assert.equal(first?.outcome, 'written');
      unwrap(await store.deleteFederations([{ trustDomain: 'a.test' }]));
      unwrap(await store.deleteFederatedBundles([{ trustDomain: 'a.test', mode: 'restrict' }]));
      const second = await create(store, relationship('a.test'));
      assert.equal(second?.outcome, 'written');
      const write = { bundle: bundle.bundle, origin: '', mode: 'set' } as const;
      const late = async (expected: Partial<FederatedBundleWrite>) =>
        unwrap(await store.writeFederatedBundles([{ ...write, ...expected }]))[0]?.outcome;
      const { revision } = first.value;
      assert.equal(await late({ expectedFederation: revision }), 'conflict');
      await putBundle(store, 'a.test');
      assert.equal(await late({ expectedRevision: bundle.revision }), 'conflict');
      const update = { federation: relationship('a.test'), mode: 'update' } as const;
      const [stale] = unwrap(
        await store.writeFederations([{ ...update, expectedRevision: revision }]),
      );
      assert.equal(stale?.outcome, 'conflict');
    });

    it('what an origin made goes with it, and from entries; what an operator made stays', async (context) => {
      const store = await backend.open(await temporaryFolder(context));
      context.after(() => store.close());
      const names = ['mine.test', 'used.test', 'set.test'];
      for (const name of names) {
        const bundle = { ...makeBundle(), trustDomain: domain(name) };
        const federation = relationship(name, { origin: 'kube/x' });
        unwrap(await store.writeFederations([{ federation, mode: 'create', bundle }]));
      }
      await putBundle(store, 'set.test');
      const user = draft('/web', '/spire/agent/a', { federatesWith: [domain('used.test')] });
      await createOne(store, 'user', user);
      await create(store, relationship('theirs.test'));
      const deletes = [...names, 'theirs.test'].map((trustDomain) => ({
        trustDomain,
        origin: 'kube/x',
      }));
      assert.deepEqual(unwrap(await store.deleteFederations(deletes)), [true, true, true, false]);
      const { federations, federatedBundles } = unwrap(await store.loadSnapshot());
      assert.deepEqual(
        federations.map(({ trustDomain }) => trustDomain.name),
        ['theirs.test'],
      );
      assert.deepEqual(
        federatedBundles.map(({ bundle }) => bundle.trustDomain.name),
        ['set.test'],
      );
      assert.deepEqual((await entries(store))[0]?.federatesWith, []);
    });

    it('what passes to another origin takes its bundle along, but not one of an operator', async (context) => {
      const store = await backend.open(await temporaryFolder(context));
      context.after(() => store.close());
      for (const name of ['a.test', 'b.test']) {
        const federation = relationship(name, { origin: 'kube/x' });
        const bundle = { ...makeBundle(), trustDomain: domain(name) };
        unwrap(await store.writeFederations([{ federation, mode: 'create', bundle }]));
      }
      const held = unwrap(await store.loadSnapshot()).federatedBundles.map(
        ({ revision }) => revision,
      );
      const set = await putBundle(store, 'b.test');
      const [a = 0n, b = 0n] = held;
      const pass = async (name: string, expectedBundle: bigint) => {
        const federation = relationship(name, { origin: 'kube/y' });
        const write = { federation, mode: 'set', expectedBundle } as const;
        return unwrap(await store.writeFederations([write]))[0]?.outcome;
      };
      assert.equal(await pass('a.test', a + 1n), 'conflict');
      assert.equal(await pass('a.test', a), 'written');
      assert.equal(await pass('b.test', b), 'conflict', 'an operator set it meanwhile');
      assert.equal(await pass('b.test', set.revision), 'written');
      const { federatedBundles } = unwrap(await store.loadSnapshot());
      assert.deepEqual(
        federatedBundles.map(({ origin }) => origin),
        ['kube/y', ''],
      );
    });

    it('an entry federates only with those whose bundle is here, or with its own', async (context) => {
      const store = await backend.open(await temporaryFolder(context));
      context.after(() => store.close());
      const federating = (...names: string[]) =>
        draft('/web', '/spire/agent/a', { federatesWith: names.map(domain) });
      const refused = { outcome: 'unfederated', trustDomain: 'b.test' };
      const entry = federating(TRUST_DOMAIN.name, 'b.test');
      const creation = { id: 'one', draft: entry };
      assert.deepEqual(unwrap(await store.createEntries([creation], NOW)), [refused]);
      await createOne(store, 'one', federating(TRUST_DOMAIN.name));
      assert.deepEqual(unwrap(await store.updateEntries([creation])), [refused]);
      await putBundle(store, 'b.test');
      assert.equal(unwrap(await store.updateEntries([creation]))[0]?.outcome, 'updated');
    });

    it('a bundle that entries federate with goes by its mode: never, with them, or from them', async (context) => {
      const store = await backend.open(await temporaryFolder(context));
      context.after(() => store.close());
      await putBundle(store, 'b.test');
      await putBundle(store, 'c.test');
      const both = [domain('b.test'), domain('c.test')];
      const one = draft('/web', '/spire/agent/a', { federatesWith: both });
      const before = await createOne(store, 'one', one);
      // The name alone, elsewhere in an entry, is no federation.
      await createOne(store, 'two', draft('/db', '/spire/agent/a', { dnsNames: ['b.test'] }));
      const remove = async (trustDomain: string, mode: 'restrict' | 'delete' | 'dissociate') =>
        unwrap(await store.deleteFederatedBundles([{ trustDomain, mode }]))[0];
      assert.deepEqual(await remove('x.test', 'delete'), { outcome: 'missing', entries: 0 });
      assert.deepEqual(await remove('b.test', 'restrict'), { outcome: 'in-use', entries: 1 });
      assert.deepEqual(await remove('b.test', 'dissociate'), { outcome: 'deleted', entries: 1 });
      const left = (await entries(store)).find((entry) => entry.id === 'one');
      assert.deepEqual(left, { ...before, federatesWith: [domain('c.test')], revision: 1n });
      assert.deepEqual(await remove('c.test', 'delete'), { outcome: 'deleted', entries: 1 });
      assert.deepEqual(
        (await entries(store)).map((entry) => entry.id),
        ['two'],
      );
      const kinds = (await changes(store)).map(({ kind }) => kind);
      assert.deepEqual(kinds.slice(-2), ['entry-deleted', 'federated-bundle']);
    });
  });

  describe(`DPUs in ${backend.name}`, () => {
    const full = dpuDraft('MT2333X0001', {
      zone: 1,
      agentIds: [id('/spire/agent/a')],
      bmc: { host: 'bmc1', port: 443, tlsPin: undefined, uuid: '', mac: '' },
      reason: '"\u2028字',
    });

    it('come back as they were written, after a restart too', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      const plain = dpuDraft('MT2333X0002');
      const writes = [full, plain].map((dpu) => ({ dpu, expectedRevision: 0n }));
      const written = unwrap(await store.writeDpus(writes));
      const kept = [full, plain].map((dpu) => ({ ...dpu, revision: 1n }));
      assert.deepEqual(
        written,
        kept.map((dpu) => ({ outcome: 'written', dpu })),
      );
      await store.close();
      const again = await backend.open(place);
      assert.deepEqual(unwrap(await again.loadSnapshot()).dpus, kept);
      assert.deepEqual(
        (await changes(again)).map((change) => (change.kind === 'dpu' ? change.dpu : change.kind)),
        kept,
      );
      await again.close();
    });

    it('are written by one of two at once, over the revision that it was made from', async (context) => {
      const store = await opened(context);
      const made = { dpu: full, expectedRevision: 0n };
      const twice = unwrap(await store.writeDpus([made, made]));
      assert.deepEqual(
        twice.map(({ outcome, dpu }) => [outcome, dpu?.revision]),
        [
          ['written', 1n],
          ['conflict', 1n],
        ],
      );
      const absent = { dpu: dpuDraft('MT9'), expectedRevision: 1n };
      assert.deepEqual(unwrap(await store.writeDpus([absent])), [
        { outcome: 'conflict', dpu: undefined },
      ]);
      const next = { ...full, state: 'quarantined' } as const;
      const [after] = unwrap(await store.writeDpus([{ dpu: next, expectedRevision: 1n }]));
      assert.deepEqual(after, { outcome: 'written', dpu: { ...next, revision: 2n } });
    });

    it('go with the attestation of their agent, or neither is written', async (context) => {
      const store = await opened(context);
      unwrap(await store.writeDpus([{ dpu: full, expectedRevision: 0n }]));
      const trusted = { ...full, state: 'trusted' } as const;
      const stale = attestation(agentRecord('a'), { dpu: { dpu: trusted, expectedRevision: 0n } });
      const refused = await store.recordAttestation(stale);
      assert.equal(refused.ok ? 'OK' : refused.error.code, 'STORE_CONFLICT');
      const before = unwrap(await store.loadSnapshot());
      assert.deepEqual([before.agents.length, before.dpus[0]?.state], [0, 'enrolling']);
      const fresh = { dpu: trusted, expectedRevision: 1n };
      unwrap(await store.recordAttestation(attestation(agentRecord('a'), { dpu: fresh })));
      const after = unwrap(await store.loadSnapshot());
      assert.deepEqual([after.agents.length, after.dpus[0]?.state], [1, 'trusted']);
    });
  });

  describe(`life of ${backend.name}`, () => {
    it('finishes what waits before it closes, and refuses afterwards', async (context) => {
      const place = await temporaryFolder(context);
      const store = await backend.open(place);
      const write = createOne(store, 'one', draft('/web', '/p'));
      await store.close();
      await write;
      const late = await store.deleteEntries(['one']);
      assert.equal(late.ok ? 'written' : late.error.code, 'STORE_UNAVAILABLE');
      await store.close();
      const again = await backend.open(place);
      assert.equal((await entries(again)).length, 1);
      await again.close();
    });
  });
}

function authorities(expectedVersion: bigint) {
  return { expectedVersion, journal: Uint8Array.of(1, 2), bundle: makeBundle() };
}
