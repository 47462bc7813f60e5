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
import { renumberDatabase } from './sqlite/renumber.ts';
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
const began = { kind: 'heard', atSeconds: NOW + 1, began: true, instance: instanceInfo() } as const;

const anyOf = (...ids: readonly string[]) => ids.map((id) => ({ id, revision: undefined }));

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
      previousKeySha256: '',
      enrolmentKeySha256: 'key-a',
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
    assert.deepEqual(unwrap(await again2.deleteConnectors(anyOf('a', 'a', 'b'))), [
      true,
      false,
      false,
    ]);
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

describe("a connector's SVIDs", () => {
  it('are the newest one, and the one before until the newest is used', async (context) => {
    const store = await withGroup(context);
    await enrolled(store, enrolment('a', 'g'));
    const shown = async (step: ConnectorChange) => {
      const { serial, previousSerial, expiresAtSeconds, previousExpiresAtSeconds } = await change(
        store,
        'a',
        step,
      );
      return [serial, expiresAtSeconds, previousSerial, previousExpiresAtSeconds];
    };
    const none = ['', 0] as const;
    const promoted = (serial: string) => ({ kind: 'promoted', serial }) as const;
    assert.deepEqual(await shown(promoted('')), [...none, ...none]);
    assert.deepEqual(await shown(certified('1', { ends: NOW + 1 })), ['1', NOW + 1, ...none]);
    assert.deepEqual(await shown(promoted('1')), ['1', NOW + 1, ...none]);
    assert.deepEqual(await shown(certified('2', { ends: NOW + 2 })), ['2', NOW + 2, '1', NOW + 1]);
    assert.deepEqual(await shown(certified('2', { ends: NOW + 9 })), ['2', NOW + 2, '1', NOW + 1]);
    assert.deepEqual(await shown(certified('3', { ends: NOW + 3 })), ['3', NOW + 3, '1', NOW + 1]);
    for (const other of ['1', '2', '9']) {
      assert.deepEqual(await shown(promoted(other)), ['3', NOW + 3, '1', NOW + 1]);
    }
    assert.deepEqual(await shown(promoted('3')), ['3', NOW + 3, ...none]);
    assert.deepEqual(await shown(certified('4', { ends: NOW + 4 })), ['4', NOW + 4, '3', NOW + 3]);
  });

  it('let it enrol again with the key of either that is good', async (context) => {
    const store = await withGroup(context);
    await enrolled(store, enrolment('a', 'g'));
    await change(store, 'a', certified('1', { key: 'key-a' }));
    await change(store, 'a', certified('2', { key: 'second' }));
    const outcome = async (key: string) =>
      (await enrol(store, enrolment('a', 'g', { key }))).outcome;
    assert.deepEqual([await outcome('key-a'), await outcome('second')], ['enrolled', 'enrolled']);
    await change(store, 'a', { kind: 'promoted', serial: '2' });
    await change(store, 'a', certified('3', { key: 'third' }));
    await change(store, 'a', { kind: 'promoted', serial: '3' });
    assert.deepEqual([await outcome('second'), await outcome('third')], ['clone', 'enrolled']);
    // The key that it enrolled with is its way back, however often its SVID was renewed.
    assert.equal(await outcome('key-a'), 'enrolled');
  });

  it('change together with those of others, in order', async (context) => {
    const store = await withGroup(context);
    for (const name of ['a', 'b']) await enrolled(store, enrolment(name, 'g'));
    const answers = unwrap(
      await store.changeConnectors([
        { id: 'b', change: certified('1') },
        { id: 'x', change: certified('2') },
        { id: 'b', change: certified('3') },
        { id: 'a', change: stopped },
      ]),
    );
    assert.deepEqual(
      answers.map((one) => one && [one.id, one.serial, one.standing]),
      [['b', '1', 'enrolled'], undefined, ['b', '3', 'enrolled'], ['a', '', 'stopped']],
    );
  });

  it('are certified only from the SVID that was looked at, where one is named', async (context) => {
    const store = await withGroup(context);
    await enrolled(store, enrolment('a', 'g'));
    const certify = async (serial: string, expectedSerial: string) =>
      (await change(store, 'a', { ...certified(serial), expectedSerial })).serial;
    assert.equal(await certify('1', ''), '1');
    assert.equal(await certify('2', ''), '1');
    assert.equal(await certify('2', '1'), '2');
    assert.equal(await certify('3', '1'), '2');
    assert.equal((await change(store, 'a', certified('4'))).serial, '4');
  });

  it('are forgotten only as they were looked at, where a revision is named', async (context) => {
    const store = await withGroup(context);
    const { connector } = await enrolled(store, enrolment('a', 'g'));
    const { revision } = await change(store, 'a', certified('1'));
    const forget = async (at: bigint) =>
      unwrap(await store.deleteConnectors([{ id: 'a', revision: at }]));
    assert.deepEqual(await forget(connector.revision), [false]);
    assert.deepEqual(await forget(revision + 1n), [false]);
    assert.deepEqual(await forget(revision), [true]);
    assert.deepEqual(await forget(revision), [false]);
  });

  it('and steps that have no effect are not told', async (context) => {
    const store = await withGroup(context);
    await enrolled(store, enrolment('a', 'g'));
    await change(store, 'a', { kind: 'resumed' });
    await change(store, 'a', { kind: 'promoted', serial: '7' });
    assert.equal((await lines(store)).length, 2);
    const drained = await change(store, 'a', { kind: 'draining', deadlineMs: 77, reason: 'node' });
    assert.deepEqual(
      [drained.standing, drained.drainDeadlineMs, drained.reason],
      ['draining', 77, 'node'],
    );
    const resumed = await change(store, 'a', { kind: 'resumed' });
    assert.deepEqual(
      [resumed.standing, resumed.drainDeadlineMs, resumed.reason],
      ['enrolled', 0, ''],
    );
    await change(store, 'a', stopped);
    const after = (await lines(store)).at(-1)?.sequence;
    for (const step of [{ ...stopped, reason: 'x' }, drainingStep, { kind: 'resumed' } as const]) {
      assert.equal((await change(store, 'a', step)).standing, 'stopped');
    }
    assert.equal((await lines(store)).at(-1)?.sequence, after);
    const heard = await change(store, 'a', { ...began, atSeconds: NOW + 5 });
    assert.equal(heard.lastHeardAtSeconds, NOW + 9);
  });
});

const drainingStep = { kind: 'draining', deadlineMs: 1, reason: '' } as const;

describe('a provisioning key', () => {
  const use = { kind: 'provisioning-key', keyId: 'k' } as const;

  async function withKey(context: TestContext, extra: Parameters<typeof provisioningKey>[2] = {}) {
    const store = await withGroup(context);
    const key = provisioningKey('k', 'g', extra);
    assert.equal(unwrap(await store.createProvisioningKey(key)), 'created');
    return store;
  }

  const uses = async (store: Store) => (await snapshot(store)).provisioningKeys[0]?.uses;

  it('is made once, for a group that there is, and is kept with its uses', async (context) => {
    const place = await temporaryFolder(context);
    const store = await open(place);
    const key = provisioningKey('k', 'g', { maxUses: 3, cidrs: ['10.0.0.0/8'], description: 'd' });
    assert.equal(unwrap(await store.createProvisioningKey(key)), 'group-missing');
    await putGroup(store, groupDraft('g'));
    const made = [1, 2].map(async () => unwrap(await store.createProvisioningKey(key)));
    assert.deepEqual(await Promise.all(made), ['created', 'exists']);
    await enrolled(store, enrolment('a', 'g', { use }));
    await store.close();
    const again = await open(place);
    context.after(() => again.close());
    const kept = { ...key, uses: 1 };
    assert.deepEqual((await snapshot(again)).provisioningKeys, [kept]);
    assert.deepEqual(
      (await lines(again)).flatMap((line) => (line.kind === 'provisioning-key' ? [line.key] : [])),
      [kept, kept],
    );
  });

  it('is refused where it is unknown, of another group, or at the second of its end', async (context) => {
    const store = await withKey(context);
    await putGroup(store, groupDraft('h'));
    const outcome = async (write: EnrolmentWrite) => (await enrol(store, write)).outcome;
    const unknown = { ...use, keyId: 'x' };
    assert.equal(await outcome(enrolment('a', 'g', { use: unknown })), 'key-unknown');
    assert.equal(await outcome(enrolment('a', 'h', { use })), 'key-group');
    const at = (nowSeconds: number) => outcome(enrolment('a', 'g', { use, nowSeconds }));
    assert.equal(await at(NOW + 3600), 'key-expired');
    assert.equal(await uses(store), 0);
    assert.equal(await at(NOW + 3599), 'enrolled');
    const other = (nowSeconds: number) => outcome(enrolment('b', 'g', { use, nowSeconds }));
    assert.equal(await other(NOW + 3600), 'key-expired');
    assert.deepEqual(unwrap(await store.deleteProvisioningKeys(['k', 'k'])), [true, false]);
    assert.equal(await other(NOW), 'key-unknown');
  });

  it('is asked for by who comes with the key of an enrolment that renewals have replaced', async (context) => {
    const store = await withKey(context, { maxUses: 1 });
    await enrolled(store, enrolment('a', 'g', { use }));
    const ends = NOW + 9000;
    const repeated = async (): Promise<string> => {
      const again = enrolment('a', 'g', { use: { kind: 'repetition' } });
      return (await enrol(store, again)).outcome;
    };
    await change(store, 'a', certified('1', { key: 'key-a', ends }));
    await change(store, 'a', certified('2', { key: 'key-b', ends }));
    await change(store, 'a', { kind: 'promoted', serial: '2' });
    assert.equal(await repeated(), 'enrolled', 'nothing was heard of it since');
    const heard = { kind: 'heard', began: true, instance: undefined } as const;
    await change(store, 'a', { ...heard, atSeconds: NOW });
    assert.equal(await repeated(), 'no-repetition');
    assert.equal((await enrol(store, enrolment('a', 'g', { use }))).outcome, 'enrolled');
  });

  it('is not asked for by a repetition: its connector lives, and comes with its key', async (context) => {
    const store = await withKey(context, { maxUses: 1 });
    const of = (name: string, extra: Parameters<typeof enrolment>[2] = {}) =>
      enrol(store, enrolment(name, 'g', { use, ...extra }));
    const first = await enrolled(store, enrolment('a', 'g', { use }));
    const ends = NOW + 9000;
    await change(store, 'a', certified('1', { key: 'key-a', ends }));
    const repetition = { use: { kind: 'repetition' } } as const;
    const without = (extra: Parameters<typeof enrolment>[2] = {}, name = 'a') =>
      of(name, { ...repetition, ...extra });
    for (const [nowSeconds, uses] of [
      [NOW, use],
      [NOW + 3600, use],
      [ends - 1, use],
      [ends - 1, repetition.use],
    ] as const) {
      const again = await of('a', { use: uses, nowSeconds });
      assert.deepEqual(
        again.outcome === 'enrolled' ? [again.again, again.connector.id] : again.outcome,
        [true, first.connector.id],
      );
    }
    assert.equal(await uses(store), 1);
    assert.equal((await without({}, 'b')).outcome, 'no-repetition');
    // Looked at now, and with its key lost: that is no repetition.
    const lost = { key: 'other', takesNewKey: true, nowSeconds: NOW + 3600 };
    assert.equal((await without(lost)).outcome, 'no-repetition');
    assert.equal((await of('a', lost)).outcome, 'key-expired');
    for (const nowSeconds of [ends, ends + 1]) {
      assert.equal((await without({ nowSeconds })).outcome, 'no-repetition');
      assert.equal((await of('a', { nowSeconds })).outcome, 'key-expired');
    }
    unwrap(await store.deleteProvisioningKeys(['k']));
    assert.equal((await of('a')).outcome, 'enrolled');
    await change(store, 'a', stopped);
    assert.equal((await without()).outcome, 'no-repetition');
    assert.equal((await of('a')).outcome, 'key-unknown');
    await change(store, 'a', revoked);
    for (const ended of [await of('a'), await without(), await without({ nowSeconds: ends })]) {
      assert.equal(ended.outcome, 'revoked');
    }
  });

  it('counts a claimant once, however often it comes', async (context) => {
    const store = await withKey(context, { maxUses: 2 });
    const come = (name: string, key?: string) =>
      enrol(store, enrolment(name, 'g', { use, ...(key === undefined ? {} : { key }) }));
    assert.equal((await come('a')).outcome, 'enrolled');
    assert.equal((await come('a')).outcome, 'enrolled');
    assert.equal((await come('a', 'other')).outcome, 'clone');
    assert.equal(await uses(store), 1);
    await change(store, 'a', stopped);
    assert.equal((await come('a', 'other')).outcome, 'enrolled');
    assert.equal(await uses(store), 1);
    assert.equal((await come('b')).outcome, 'enrolled');
    assert.equal((await come('c')).outcome, 'key-exhausted');
    assert.equal(await uses(store), 2);
    unwrap(await store.deleteConnectors(anyOf('a')));
    assert.equal((await come('a')).outcome, 'enrolled');
    assert.equal((await come('c')).outcome, 'key-exhausted');
    assert.equal(await uses(store), 2);
  });

  it('is not used again by a claimant that was looked at and has lost its key', async (context) => {
    const store = await withKey(context, { maxUses: 1 });
    await enrolled(store, enrolment('a', 'g', { use }));
    await change(store, 'a', certified('1', { key: 'key-a' }));
    const fresh = enrolment('a', 'g', { use, key: 'fresh', takesNewKey: true });
    const { again, connector } = await enrolled(store, fresh);
    // That of its newest SVID, until one is signed for the new one.
    assert.deepEqual([again, connector.id, connector.keySha256], [false, 'a', 'key-a']);
    assert.equal((await change(store, 'a', certified('2', { key: 'fresh' }))).previousSerial, '1');
    assert.equal(await uses(store), 1);
    const other = enrolment('a', 'g', { use, claimant: 'pod:c/b', takesNewKey: true });
    assert.equal((await enrol(store, other)).outcome, 'clone');
    await change(store, 'a', revoked);
    assert.equal((await enrol(store, fresh)).outcome, 'revoked');
  });

  it('is not used up by an enrolment that is refused', async (context) => {
    const store = await withKey(context, { maxUses: 5 });
    await putGroup(store, groupDraft('g', { maxInstances: 1 }));
    await enrolled(store, enrolment('a', 'g', { use }));
    assert.equal((await enrol(store, enrolment('b', 'g', { use }))).outcome, 'group-full');
    assert.equal((await enrol(store, enrolment('a', 'g', { use, key: 'x' }))).outcome, 'clone');
    assert.equal(await uses(store), 1);
  });

  it('F1 gives its last use to exactly one of 100 at once', async (context) => {
    const store = await withKey(context, { maxUses: 3 });
    await enrolled(store, enrolment('x', 'g', { use }));
    await enrolled(store, enrolment('y', 'g', { use }));
    const names = Array.from({ length: 100 }, (_, index) => `c${index}`);
    const answers = await Promise.all(
      names.map((name) => enrol(store, enrolment(name, 'g', { use }))),
    );
    const outcomes = answers.map(({ outcome }) => outcome);
    assert.equal(outcomes.filter((outcome) => outcome === 'enrolled').length, 1);
    assert.equal(outcomes.filter((outcome) => outcome === 'key-exhausted').length, 99);
    assert.equal(await uses(store), 3);
    assert.equal((await snapshot(store)).connectors.length, 3);
  });

  it('is forgotten a week after its end, with who used it', async (context) => {
    const store = await withKey(context, { maxUses: 1 });
    await enrolled(store, enrolment('a', 'g', { use }));
    const end = NOW + 3600 + 7 * 24 * 3600;
    unwrap(await store.prune(end));
    assert.equal(await uses(store), 1);
    unwrap(await store.prune(end + 1));
    assert.equal(await uses(store), undefined);
    assert.deepEqual((await lines(store)).at(-1)?.kind, 'provisioning-key');
    // A key of the same name is another key.
    unwrap(await store.createProvisioningKey(provisioningKey('k', 'g')));
    await enrolled(store, enrolment('b', 'g', { use }));
    assert.equal(await uses(store), 1);
  });
});

describe('a bound key', () => {
  async function withBound(context: TestContext, maxRecoveries = 3) {
    const store = await withGroup(context);
    unwrap(await store.registerBoundKey(boundKey('b', 'g', { maxRecoveries })));
    return store;
  }

  /** An enrolment with the key of this CSR, by one that counts so far. */
  const come = (store: Store, key: string, recoveryCount: bigint, group = 'g', newId = 'b') => {
    const use = { kind: 'bound-key', keyId: 'b', recoveryCount } as const;
    const claim = { proof: 'bound-key', claimant: 'bound:b', keySha256: key } as const;
    const write = enrolment(newId, group, { use });
    return enrol(store, { ...write, claim: { ...claim, agentId: undefined } });
  };

  const told = (answer: Enrolled) =>
    answer.outcome === 'enrolled' ? [answer.again, answer.recoveryCount] : answer.outcome;

  it('keeps its counter when it is registered again, for the same connector alone', async (context) => {
    const store = await opened(context);
    const key = boundKey('b', 'g', { description: 'one' });
    assert.equal(unwrap(await store.registerBoundKey(key)), 'group-missing');
    await putGroup(store, groupDraft('g'));
    assert.equal(unwrap(await store.registerBoundKey(key)), 'created');
    assert.deepEqual(told(await come(store, 'k1', 0n)), [false, 1n]);
    const other = { ...key, maxRecoveries: 9, description: 'two', createdAtSeconds: NOW + 9 };
    assert.equal(unwrap(await store.registerBoundKey(other)), 'created');
    for (const wrong of [{ group: 'h' }, { connectorId: 'x' }]) {
      assert.equal(unwrap(await store.registerBoundKey({ ...key, ...wrong })), 'exists');
    }
    assert.deepEqual((await snapshot(store)).boundKeys, [
      { ...other, createdAtSeconds: NOW, recoveryCount: 1n },
    ]);
    assert.deepEqual(unwrap(await store.deleteBoundKeys(['b', 'b'])), [true, false]);
    assert.equal(told(await come(store, 'k1', 1n)), 'key-unknown');
  });

  it('leads to its own group and connector', async (context) => {
    const store = await withBound(context);
    await putGroup(store, groupDraft('h'));
    assert.equal(told(await come(store, 'k1', 0n, 'h')), 'key-group');
    assert.equal(told(await come(store, 'k1', 0n, 'g', 'x')), 'key-unknown');
  });

  it('counts each recovery, up to its limit, and keeps the name', async (context) => {
    const store = await withBound(context, 2);
    for (const [index, key] of ['k1', 'k2', 'k3'].entries()) {
      assert.deepEqual(told(await come(store, key, BigInt(index))), [false, BigInt(index + 1)]);
      const { standing } = await change(store, 'b', certified(`${index}`, { key }));
      assert.equal(standing, 'enrolled');
    }
    assert.equal(told(await come(store, 'k4', 3n)), 'key-exhausted');
    const [only, ...others] = (await snapshot(store)).connectors;
    assert.deepEqual([only?.id, only?.keySha256, others], ['b', 'k3', []]);
  });

  it('heals an answer that was lost, by the key of that enrolment alone', async (context) => {
    const store = await withBound(context);
    assert.deepEqual(told(await come(store, 'k1', 0n)), [false, 1n]);
    await change(store, 'b', certified('1', { key: 'k1' }));
    assert.deepEqual(told(await come(store, 'k1', 0n)), [true, 1n]);
    assert.equal(told(await come(store, 'k2', 0n)), 'clone');
    assert.deepEqual(told(await come(store, 'k2', 1n)), [false, 2n]);
    assert.equal(told(await come(store, 'k1', 0n)), 'clone');
    assert.deepEqual(told(await come(store, 'k2', 1n)), [true, 2n]);
  });

  it('heals it also when the SVID that nobody got has ended', async (context) => {
    const store = await withBound(context);
    await come(store, 'k1', 0n);
    await change(store, 'b', certified('1', { key: 'k1', ends: NOW }));
    assert.deepEqual(told(await come(store, 'k1', 0n)), [true, 1n]);
    assert.equal((await snapshot(store)).boundKeys[0]?.recoveryCount, 1n);
  });

  it('of a copy is behind as soon as one of the two has come back', async (context) => {
    const store = await withBound(context);
    await come(store, 'k1', 0n);
    await change(store, 'b', certified('1', { key: 'k1' }));
    await change(store, 'b', began);
    // The copy has all of it, the key of the SVID too, and comes first.
    assert.deepEqual(told(await come(store, 'k1', 1n)), [false, 2n]);
    await change(store, 'b', certified('2', { key: 'k1' }));
    await change(store, 'b', began);
    for (const key of ['k1', 'k9']) assert.equal(told(await come(store, key, 1n)), 'clone');
  });

  it('is not known to have been answered by the end of an earlier session', async (context) => {
    const store = await withBound(context);
    await come(store, 'k1', 0n);
    await change(store, 'b', { ...began, began: false });
    assert.deepEqual(told(await come(store, 'k1', 0n)), [true, 1n]);
    await change(store, 'b', certified('1', { key: 'k1' }));
    await change(store, 'b', { kind: 'promoted', serial: '1' });
    assert.equal(told(await come(store, 'k1', 0n)), 'clone');
  });

  it('that is ahead is a copy too, and so is any count at the edge of 64 bits', async (context) => {
    const store = await withBound(context);
    for (const count of [1n, 2n ** 53n, 2n ** 64n - 1n, -1n]) {
      assert.deepEqual(await come(store, 'k1', count), { outcome: 'clone', connector: undefined });
    }
    const { connector } = await enrolled(store, enrolment('a', 'g'));
    await come(store, 'k1', 0n);
    assert.equal(told(await come(store, 'k2', 2n)), 'clone');
    assert.equal(connector.id, 'a');
  });

  it('of a connector that was revoked is of no use, nor registered anew', async (context) => {
    const store = await withBound(context);
    await come(store, 'k1', 0n);
    await change(store, 'b', revoked);
    assert.equal(told(await come(store, 'k2', 1n)), 'revoked');
    unwrap(await store.deleteBoundKeys(['b']));
    unwrap(await store.registerBoundKey(boundKey('b', 'g')));
    assert.equal(told(await come(store, 'k2', 0n)), 'revoked');
  });

  it('that replaces a lost one takes the connector over when that has ended', async (context) => {
    const store = await withBound(context);
    await come(store, 'k1', 0n);
    unwrap(await store.registerBoundKey(boundKey('c', 'g', { connectorId: 'b' })));
    const use = { kind: 'bound-key', keyId: 'c', recoveryCount: 0n } as const;
    const write = enrolment('b', 'g', { use, claimant: 'bound:c' });
    assert.equal((await enrol(store, write)).outcome, 'clone');
    assert.equal((await snapshot(store)).boundKeys[1]?.recoveryCount, 0n);
    await change(store, 'b', stopped);
    assert.deepEqual(told(await enrol(store, write)), [false, 1n]);
  });

  it('goes on after a restore, whose counter is behind, once', async (context) => {
    const place = await temporaryFolder(context);
    const store = await open(place);
    await putGroup(store, groupDraft('g'));
    unwrap(await store.registerBoundKey(boundKey('b', 'g', { maxRecoveries: 9 })));
    unwrap(await store.createProvisioningKey(provisioningKey('k', 'g')));
    await come(store, 'k1', 0n);
    await change(store, 'b', began);
    await store.close();
    unwrap(renumberDatabase(join(place, 'signet.db'), TRUST_DOMAIN.name));
    const again = await open(place);
    context.after(() => again.close());
    assert.deepEqual((await snapshot(again)).provisioningKeys, []);
    assert.equal(told(await come(again, 'k1', 0n)), 'clone');
    assert.equal(told(await come(again, 'k2', 10n)), 'key-exhausted');
    assert.deepEqual(told(await come(again, 'k2', 5n)), [false, 6n]);
    assert.equal(told(await come(again, 'k3', 7n)), 'clone');
    assert.deepEqual(told(await come(again, 'k3', 6n)), [false, 7n]);
  });
});
