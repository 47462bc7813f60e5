import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import {
  boundKey,
  enrolment,
  groupDraft,
  instanceInfo,
  provisioningKey,
  segmentDraft,
} from '../../test/support/connector-state.ts';
import {
  id,
  START_SECONDS as NOW,
  TRUST_DOMAIN,
  temporaryFolder,
} from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import type { ConnectorGroupDraft } from '../rules/connector/group.ts';
import { PENDING_SECONDS } from '../rules/connector/life.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { ConnectorChange, Enrolled, EnrolmentWrite } from './connectors.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import type { Change, Store } from './store.ts';

const open = async (place: string): Promise<Store> =>
  unwrap(await openSqliteStore({ path: join(place, 'signet.db'), trustDomain: TRUST_DOMAIN }));

async function opened(context: TestContext): Promise<Store> {
  const store = await open(await temporaryFolder(context));
  context.after(() => store.close());
  return store;
}

async function putGroup(store: Store, draft: ConnectorGroupDraft) {
  const write = { draft, expectedRevision: undefined };
  const [written] = unwrap(await store.writeConnectorGroups([write]));
  assert.equal(written?.outcome, 'written');
  return written.value;
}

async function withGroup(context: TestContext, extra: Partial<ConnectorGroupDraft> = {}) {
  const store = await opened(context);
  await putGroup(store, groupDraft('g', extra));
  return store;
}

async function enrol(store: Store, write: EnrolmentWrite): Promise<Enrolled> {
  return unwrap(await store.enrolConnector(write));
}

async function enrolled(store: Store, write: EnrolmentWrite) {
  const answer = await enrol(store, write);
  assert.equal(answer.outcome, 'enrolled');
  return answer;
}

async function change(store: Store, name: string, step: ConnectorChange): Promise<ConnectorRecord> {
  const changed = unwrap(await store.changeConnector(name, step));
  assert.ok(changed);
  return changed;
}

const certified = (serial: string, extra: { key?: string; ends?: number } = {}) =>
  ({
    kind: 'certified',
    serial,
    expiresAtSeconds: extra.ends ?? NOW + 3600,
    keySha256: extra.key ?? `key-of-${serial}`,
  }) as const;

const stopped = { kind: 'stopped', atSeconds: NOW + 9, reason: 'done' } as const;
const revoked = { kind: 'revoked', atSeconds: NOW + 9, reason: 'stolen' } as const;
const began = { kind: 'heard', atSeconds: NOW + 1, instance: instanceInfo() } as const;

const lines = async (store: Store, after = 0n): Promise<readonly Change[]> =>
  unwrap(await store.changesAfter(after, 1000));

const snapshot = async (store: Store) => unwrap(await store.loadSnapshot()).connectors;

describe('connector groups and segments', () => {
  it('come back as they were written, after a restart too', async (context) => {
    const place = await temporaryFolder(context);
    const store = await open(place);
    const full = groupDraft('full', {
      minInstances: 2,
      maxInstances: 9,
      segmentSelector: { tier: 'db' },
      svidTtlSeconds: 600,
      offlineSeconds: 60,
      forgetAfterSeconds: 5,
      proofs: ['bound-key', 'x509-svid'],
      serviceAccounts: [{ cluster: '', namespace: 'ns', name: 'sa' }],
      spiffeIds: ['spiffe://example.org/a/*'],
      zones: [1, 3],
      assurance: 'tpm',
      requireAttestedNode: true,
      segmentNamespaces: ['c/ns'],
      segmentHosts: ['*.example.org'],
      updateWindow: 'Sat 02:00-06:00 UTC',
      maxUnavailable: 1,
      origin: 'ns/full',
    });
    const segment = segmentDraft('ns/db', { labels: { tier: 'db' }, weight: 3, origin: 'ns/db' });
    const groups = [await putGroup(store, full), await putGroup(store, groupDraft('plain'))];
    const [written] = unwrap(
      await store.writeConnectorSegments([{ draft: segment, expectedRevision: 0n }]),
    );
    assert.deepEqual(groups[0], { ...full, revision: 1n });
    assert.deepEqual(written, {
      outcome: 'written',
      value: { ...segment, revision: 3n, createdRevision: 3n },
    });
    await store.close();
    const again = await open(place);
    context.after(() => again.close());
    const { groups: kept, segments } = await snapshot(again);
    assert.deepEqual([kept, segments], [groups, [written.value]]);
  });

  it('are written only from the revision that was read, and tell how they stand', async (context) => {
    const store = await opened(context);
    const write = (expectedRevision: bigint | undefined, weight: number) => ({
      draft: segmentDraft('s', { weight }),
      expectedRevision,
    });
    const answers = unwrap(
      await store.writeConnectorSegments([
        write(1n, 1),
        write(0n, 2),
        write(0n, 3),
        write(1n, 4),
        write(undefined, 5),
      ]),
    );
    assert.deepEqual(
      answers.map(({ outcome, value }) => [outcome, value?.weight, value?.createdRevision]),
      [
        ['conflict', undefined, undefined],
        ['written', 2, 1n],
        ['conflict', 2, 1n],
        ['written', 4, 1n],
        ['written', 5, 1n],
      ],
    );
    const groups = unwrap(
      await store.writeConnectorGroups([
        { draft: groupDraft('g'), expectedRevision: 7n },
        { draft: groupDraft('g'), expectedRevision: 0n },
        { draft: groupDraft('g'), expectedRevision: 0n },
      ]),
    );
    assert.deepEqual(
      groups.map(({ outcome }) => outcome),
      ['conflict', 'written', 'conflict'],
    );
  });

  it('made anew are others than those that were deleted', async (context) => {
    const store = await opened(context);
    const draft = segmentDraft('s');
    const writes = [{ draft, expectedRevision: 0n }];
    const [first] = unwrap(await store.writeConnectorSegments(writes));
    assert.deepEqual(
      unwrap(await store.deleteConnectorSegments([{ name: 's', origin: undefined }])),
      ['deleted'],
    );
    const [second] = unwrap(await store.writeConnectorSegments(writes));
    assert.ok((second?.value?.createdRevision ?? 0n) > (first?.value?.revision ?? 0n));
  });

  it('are deleted by those who made them, or by an operator', async (context) => {
    const store = await opened(context);
    const origin = 'ns/one';
    await putGroup(store, groupDraft('g', { origin }));
    const draft = segmentDraft('s', { origin });
    unwrap(await store.writeConnectorSegments([{ draft, expectedRevision: 0n }]));
    const deletes = (name: string) => [
      { name, origin: '' },
      { name, origin: 'ns/two' },
      { name, origin },
      { name, origin: undefined },
    ];
    const expected = ['missing', 'missing', 'deleted', 'missing'];
    assert.deepEqual(unwrap(await store.deleteConnectorSegments(deletes('s'))), expected);
    assert.deepEqual(unwrap(await store.deleteConnectorGroups(deletes('g'), NOW)), expected);
  });

  it('a group stays while somebody lives in it; what ended and its keys go with it, never who was revoked', async (context) => {
    const store = await withGroup(context);
    await putGroup(store, groupDraft('other'));
    unwrap(await store.createProvisioningKey(provisioningKey('k', 'g')));
    unwrap(await store.registerBoundKey(boundKey('b', 'g')));
    unwrap(await store.registerBoundKey(boundKey('c', 'other')));
    for (const name of ['a', 'b', 'c']) {
      await enrolled(store, enrolment(name, 'g'));
      await change(store, name, certified(name));
    }
    await enrolled(store, enrolment('d', 'other'));
    const remove = async (now: number) =>
      unwrap(await store.deleteConnectorGroups([{ name: 'g', origin: undefined }], now));
    await change(store, 'b', revoked);
    await change(store, 'c', stopped);
    assert.deepEqual(await remove(NOW + 3599), ['in-use']);
    const before = (await lines(store)).at(-1)?.sequence ?? 0n;
    assert.deepEqual(await remove(NOW + 3600), ['deleted']);
    const kept = await snapshot(store);
    assert.deepEqual(
      [kept.groups, kept.connectors, kept.provisioningKeys, kept.boundKeys].map((values) =>
        values.map((value) => ('name' in value ? value.name : value.id)),
      ),
      [['other'], ['b', 'd'], [], ['c']],
    );
    assert.deepEqual(
      (await lines(store, before)).map(({ kind }) => kind),
      ['provisioning-key', 'bound-key', 'connector', 'connector', 'connector-group'],
    );
    await putGroup(store, groupDraft('g'));
    assert.equal((await enrol(store, enrolment('b', 'g'))).outcome, 'revoked');
  });
});

describe('a connector', () => {
  it('is kept as it enrolled, told once, and comes back after a restart', async (context) => {
    const place = await temporaryFolder(context);
    const store = await open(place);
    await putGroup(store, groupDraft('g'));
    const instance = instanceInfo({ version: '1', hostname: 'h"\0\u2028' });
    const agentId = id('/spire/agent/a');
    const write = enrolment('a', 'g', { instance });
    const { connector, again, recoveryCount } = await enrolled(store, {
      ...write,
      claim: { ...write.claim, agentId },
    });
    assert.deepEqual([again, recoveryCount], [false, 0n]);
    assert.deepEqual(connector, {
      id: 'a',
      group: 'g',
      spiffeId: id('/connector/g/a'),
      proof: 'kubernetes-token',
      claimant: 'pod:c/a',
      keySha256: 'key-a',
      agentId,
      standing: 'enrolled',
      reason: '',
      instance,
      enrolledAtSeconds: NOW,
      serial: '',
      expiresAtSeconds: 0,
      previousSerial: '',
      previousExpiresAtSeconds: 0,
      lastHeardAtSeconds: 0,
      drainDeadlineMs: 0,
      endedAtSeconds: 0,
      revision: 2n,
    });
    assert.deepEqual(await lines(store, 1n), [
      { kind: 'connector', sequence: 2n, id: 'a', connector },
    ]);
    await store.close();
    const again2 = await open(place);
    context.after(() => again2.close());
    assert.deepEqual((await snapshot(again2)).connectors, [connector]);
    assert.deepEqual(unwrap(await again2.deleteConnectors(['a', 'a', 'b'])), [true, false, false]);
    assert.deepEqual(await lines(again2, 2n), [
      { kind: 'connector', sequence: 3n, id: 'a', connector: undefined },
    ]);
    assert.equal(unwrap(await again2.changeConnector('a', stopped)), undefined);
  });

  it('is enrolled only into a group that there is', async (context) => {
    const store = await opened(context);
    assert.deepEqual(await enrol(store, enrolment('a', 'g')), { outcome: 'group-missing' });
    assert.deepEqual(await lines(store), []);
  });

  it('enrols again with its key under its name, and nothing else changes', async (context) => {
    const store = await withGroup(context, { maxInstances: 1 });
    const first = await enrolled(store, enrolment('a', 'g'));
    const second = await enrolled(store, { ...enrolment('a', 'g'), newId: 'other' });
    assert.deepEqual(second, { ...first, again: true });
    assert.equal((await lines(store)).length, 2);
    const moved = await enrolled(
      store,
      enrolment('a', 'g', { instance: instanceInfo({ os: 'x' }) }),
    );
    assert.deepEqual([moved.again, moved.connector.instance.os], [true, 'x']);
  });

  it('with another key is a copy while the first one lives, up to its very last second', async (context) => {
    const store = await withGroup(context);
    const { connector } = await enrolled(store, enrolment('a', 'g'));
    const copy = (nowSeconds: number, key = 'other') =>
      enrol(store, enrolment('a', 'g', { key, nowSeconds }));
    assert.deepEqual(await copy(NOW), { outcome: 'clone', connector });
    assert.equal((await copy(NOW + PENDING_SECONDS - 1)).outcome, 'clone');
    await change(store, 'a', certified('1', { key: 'key-a' }));
    assert.equal((await copy(NOW + 3599)).outcome, 'clone');
    await change(store, 'a', { kind: 'draining', deadlineMs: 1, reason: '' });
    assert.equal((await copy(NOW + 3599)).outcome, 'clone');
    const after = await copy(NOW + 3600);
    assert.equal(after.outcome, 'enrolled');
    assert.deepEqual(
      [after.again, after.connector.id, after.connector.keySha256, after.connector.standing],
      [false, 'a', 'other', 'enrolled'],
    );
    assert.deepEqual([after.connector.serial, after.connector.drainDeadlineMs], ['', 0]);
  });

  it('whose first SVID never was signed gives its name free after a while', async (context) => {
    const store = await withGroup(context, { maxInstances: 1 });
    await enrolled(store, enrolment('a', 'g'));
    const later = { nowSeconds: NOW + PENDING_SECONDS };
    assert.equal((await enrolled(store, enrolment('b', 'g', later))).again, false);
    const back = await enrol(store, enrolment('a', 'g', later));
    assert.deepEqual(back, { outcome: 'group-full', maxInstances: 1 });
  });

  it('that stopped may come back with a new key; its SVID stays on record', async (context) => {
    const store = await withGroup(context);
    await enrolled(store, enrolment('a', 'g'));
    await change(store, 'a', certified('1'));
    const gone = await change(store, 'a', stopped);
    assert.deepEqual(
      [gone.standing, gone.reason, gone.endedAtSeconds, gone.lastHeardAtSeconds],
      ['stopped', 'done', NOW + 9, NOW + 9],
    );
    const { connector, again } = await enrolled(store, enrolment('a', 'g', { key: 'new' }));
    assert.equal(again, false);
    assert.deepEqual(
      [
        connector.standing,
        connector.reason,
        connector.endedAtSeconds,
        connector.lastHeardAtSeconds,
      ],
      ['enrolled', '', 0, 0],
    );
    assert.equal(connector.serial, '1');
    assert.equal((await change(store, 'a', certified('2'))).previousSerial, '1');
  });

  it('that was revoked stays so, whatever comes', async (context) => {
    const store = await withGroup(context);
    await enrolled(store, enrolment('a', 'g'));
    await change(store, 'a', certified('1', { key: 'key-a' }));
    const after = await change(store, 'a', revoked);
    assert.deepEqual(
      [after.standing, after.reason, after.endedAtSeconds],
      ['revoked', 'stolen', NOW + 9],
    );
    const steps: readonly ConnectorChange[] = [
      certified('2'),
      { kind: 'promoted', serial: '1' },
      began,
      { kind: 'draining', deadlineMs: 5, reason: 'x' },
      { kind: 'resumed' },
      stopped,
      { ...revoked, reason: 'again' },
    ];
    for (const step of steps) assert.deepEqual(await change(store, 'a', step), after);
    for (const key of ['key-a', 'other']) {
      const late = enrolment('a', 'g', { key, nowSeconds: NOW + 9999 });
      assert.deepEqual(await enrol(store, late), { outcome: 'revoked', connector: after });
    }
    const named = enrolment('a', 'g', { claimant: 'pod:c/b', nowSeconds: NOW + 9999 });
    assert.equal((await enrol(store, named)).outcome, 'revoked');
  });

  it('in another group is a copy while it lives, and moves when it has ended', async (context) => {
    const store = await withGroup(context);
    await putGroup(store, groupDraft('h'));
    const claimant = 'pod:c/a';
    await enrolled(store, enrolment('a', 'g'));
    await change(store, 'a', certified('1', { key: 'key-a' }));
    const moving = enrolment('b', 'h', { claimant, key: 'key-a' });
    assert.equal((await enrol(store, moving)).outcome, 'clone');
    await change(store, 'a', stopped);
    const { connector } = await enrolled(store, moving);
    assert.deepEqual([connector.id, connector.group], ['b', 'h']);
    assert.deepEqual((await snapshot(store)).connectors, [connector]);
  });

  it('takes the name of another only in the same group, and when that one has ended', async (context) => {
    const store = await withGroup(context);
    await putGroup(store, groupDraft('h'));
    await enrolled(store, enrolment('a', 'g'));
    const other = (group: string) => enrol(store, enrolment('a', group, { claimant: 'pod:c/b' }));
    assert.equal((await other('g')).outcome, 'clone');
    await change(store, 'a', stopped);
    assert.equal((await other('h')).outcome, 'clone');
    const taken = await other('g');
    assert.equal(taken.outcome, 'enrolled');
    assert.equal(taken.connector.claimant, 'pod:c/b');
    assert.equal((await snapshot(store)).connectors.length, 1);
  });

  it('counts against its group until it has ended', async (context) => {
    const store = await withGroup(context, { maxInstances: 2 });
    const full = { outcome: 'group-full', maxInstances: 2 };
    for (const name of ['a', 'b']) {
      await enrolled(store, enrolment(name, 'g'));
      await change(store, name, certified(name, { key: `key-${name}` }));
    }
    assert.deepEqual(await enrol(store, enrolment('c', 'g')), full);
    assert.equal((await enrolled(store, enrolment('a', 'g'))).again, true);
    await change(store, 'a', { kind: 'draining', deadlineMs: 5, reason: '' });
    assert.deepEqual(await enrol(store, enrolment('c', 'g')), full);
    await change(store, 'a', stopped);
    await enrolled(store, enrolment('c', 'g'));
    assert.deepEqual(await enrol(store, enrolment('a', 'g')), full);
    await change(store, 'b', revoked);
    await enrolled(store, enrolment('d', 'g'));
    await putGroup(store, groupDraft('g', { maxInstances: 0 }));
    await enrolled(store, enrolment('e', 'g'));
  });

  it('lets no more in than its group takes of many at once', async (context) => {
    const store = await withGroup(context, { maxInstances: 5 });
    const names = Array.from({ length: 50 }, (_, index) => `c${index}`);
    const answers = await Promise.all(names.map((name) => enrol(store, enrolment(name, 'g'))));
    assert.equal(answers.filter(({ outcome }) => outcome === 'enrolled').length, 5);
  });
});
