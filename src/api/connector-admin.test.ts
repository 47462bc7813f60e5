import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { type AdminRig, adminRig } from '../../test/support/connector-admin.ts';
import { groupDraft, segmentDraft } from '../../test/support/connector-state.ts';
import { ask, assertStatus } from '../../test/support/server.ts';
import { START_SECONDS } from '../../test/support/state.ts';
import { makeKey } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import { MAX_DIAGNOSED } from '../connectors/diagnostics.ts';
import {
  ConnectorAdminService,
  type ConnectorChange,
  GroupSpec,
} from '../gen/signet/connector/v1/admin.ts';
import { Protocol, Segment } from '../gen/signet/connector/v1/connector.ts';
import { NOTE_KEY } from '../rpc/service.ts';

interface Rig extends AdminRig {
  readonly client: Client;
}

async function start(context: TestContext): Promise<Rig> {
  const rig = await adminRig(context);
  const client = new Client(`unix:${rig.socket}`, credentials.createInsecure());
  context.after(() => client.close());
  return { ...rig, client };
}

const { putGroup, putSegment, deleteGroup, deleteSegment } = ConnectorAdminService;

const group = (name: string, extra: Partial<GroupSpec> = {}) => ({
  group: { ...GroupSpec.fromJSON({}), name, proofs: ['provisioning-key'], ...extra },
  expectedRevision: 0n as bigint | undefined,
});

const segment = (id: string, extra: Partial<Segment> = {}, groups = ['db']) => ({
  segment: {
    segment: {
      ...Segment.fromJSON({}),
      id,
      hosts: ['db.example.org'],
      protocol: Protocol.PROTOCOL_TCP,
      ports: [{ first: 5432, last: 5432 }],
      ...extra,
    },
    groups,
  },
  expectedRevision: 0n as bigint | undefined,
});

test('a group is made once, changed at its revision, and deleted when nobody is in it', async (context) => {
  const { client, enrol, acts } = await start(context);
  const made = await ask(client, putGroup, group('db'));
  assert.equal(made.spec?.name, 'db');
  await assertStatus(ask(client, putGroup, group('db')), 'CONNECTOR_GROUP_EXISTS');
  const { revision } = made;
  const changed = await ask(client, putGroup, {
    ...group('db', { maxInstances: 4 }),
    expectedRevision: revision,
  });
  assert.equal(changed.spec?.maxInstances, 4);
  const stale = { ...group('db'), expectedRevision: revision };
  await assertStatus(ask(client, putGroup, stale), 'CONNECTOR_CHANGED');
  const gone = { ...group('no'), expectedRevision: revision };
  await assertStatus(ask(client, putGroup, gone), 'CONNECTOR_CHANGED');
  await ask(client, putGroup, { ...group('db', { maxInstances: 5 }), expectedRevision: undefined });
  await enrol('c1', 'db');
  await assertStatus(ask(client, deleteGroup, { name: 'db' }), 'CONNECTOR_GROUP_IN_USE');
  await assertStatus(ask(client, deleteGroup, { name: 'no' }), 'CONNECTOR_GROUP_UNKNOWN');
  assert.deepEqual(
    acts.map(({ act, connector, requestedBy }) => [act, connector, requestedBy]),
    Array(3).fill(['put', 'group/db', 'local:0']),
    'each write is in the ledger, and what was refused is not',
  );
});

test('a segment that claims what another one of its group does is refused', async (context) => {
  const { client } = await start(context);
  await ask(client, putGroup, group('db'));
  await ask(client, putGroup, group('by-label', { segmentSelector: { tier: 'data' } }));
  await ask(client, putSegment, segment('one', { labels: { tier: 'data' } }));
  await assertStatus(ask(client, putSegment, segment('two')), 'CONNECTOR_SEGMENT_CONFLICT');
  const byLabel = segment('two', { labels: { tier: 'data' } }, []);
  await assertStatus(ask(client, putSegment, byLabel), 'CONNECTOR_SEGMENT_CONFLICT');
  await ask(client, putSegment, segment('two', { priority: 1 }));
  await ask(client, putSegment, segment('three', {}, []));
  await assertStatus(ask(client, putSegment, segment('one')), 'CONNECTOR_SEGMENT_EXISTS');
  const nowhere = segment('four', { hosts: ['x.example.org'] }, ['nowhere']);
  await assertStatus(ask(client, putSegment, nowhere), 'CONNECTOR_GROUP_UNKNOWN');
  const flow = { group: 'db', host: 'DB.example.org.', port: 5432, clientId: '' };
  const asked = { ...flow, protocol: Protocol.PROTOCOL_TCP };
  const explained = await ask(client, ConnectorAdminService.explainFlow, asked);
  assert.deepEqual(explained, {
    allowed: true,
    segmentId: 'two',
    reason: 'the segment allows it',
    shadowedIds: ['one'],
  });
  const listed = await ask(client, ConnectorAdminService.listSegments, {
    ...{ group: 'by-label', pageSize: 0, pageToken: '' },
  });
  assert.deepEqual(
    listed.segments.map(({ spec }) => spec?.segment?.id),
    ['one'],
  );
});

test('a group that would come to serve segments that conflict is refused', async (context) => {
  const { client, registry } = await start(context);
  const tier = (labels: Record<string, string>) => ({ labels });
  const put = (selector: Record<string, string>, extra: Partial<GroupSpec> = {}) => {
    const stated = group('by-label', { segmentSelector: selector, ...extra });
    return ask(client, putGroup, { ...stated, expectedRevision: undefined });
  };
  await ask(client, putGroup, group('db'));
  await ask(client, putSegment, segment('one', tier({ tier: 'data' })));
  await ask(client, putSegment, segment('two', tier({ tier: 'data', zone: 'a' }), []));
  await ask(client, putSegment, segment('far', { ...tier({ zone: 'a' }), priority: 1 }, []));
  await assertStatus(put({ tier: 'data' }), 'CONNECTOR_SEGMENT_CONFLICT');
  assert.equal(registry.connectors.group('by-label'), undefined, 'nor is it made');
  await put({ zone: 'a' });
  await assertStatus(put({ tier: 'data' }), 'CONNECTOR_SEGMENT_CONFLICT');
  await put({});
  await put({ zone: 'a', tier: 'data' });
  // Made behind the back of the check, as objects of Kubernetes are: the group can be changed still.
  const draft = segmentDraft('three', { groups: ['by-label'], hosts: ['db.example.org'] });
  unwrap(await registry.connectors.writeConnectorSegments([{ draft, expectedRevision: 0n }]));
  await put({ zone: 'a', tier: 'data' }, { maxInstances: 7 });
  await assertStatus(put({ tier: 'data' }), 'CONNECTOR_SEGMENT_CONFLICT');
});

test('a segment of a kind that this server does not know is refused, not weakened', async (context) => {
  const { client, registry } = await start(context);
  await ask(client, putGroup, group('db'));
  // As a newer client would state them: taken for none, TLS or the check would be gone.
  const unknown: readonly Partial<Record<'protocol' | 'upstreamTls' | 'healthCheck', number>>[] = [
    { protocol: 0 },
    { protocol: 3 },
    { upstreamTls: 2 },
    { healthCheck: 5 },
  ];
  for (const kind of unknown) {
    const stated = segment('one', kind as Partial<Segment>);
    await assertStatus(ask(client, putSegment, stated), 'FIELD_INVALID');
  }
  const none = { segment: undefined, expectedRevision: undefined };
  await assertStatus(ask(client, putSegment, none), 'FIELD_MISSING');
  assert.equal(registry.connectors.segment('one'), undefined);
});

test('what follows an object of Kubernetes is neither changed nor deleted here', async (context) => {
  const { client, registry } = await start(context);
  const origin = 'kubernetes/rack/shop/db';
  const draft = groupDraft('kube', { origin });
  const { connectors } = registry;
  unwrap(await connectors.writeConnectorGroups([{ draft, expectedRevision: 0n }]));
  const made = segmentDraft('rack/shop/db', { origin, groups: ['kube'] });
  unwrap(await connectors.writeConnectorSegments([{ draft: made, expectedRevision: 0n }]));
  const put = { ...group('kube'), expectedRevision: undefined };
  await assertStatus(ask(client, putGroup, put), 'CONNECTOR_FOLLOWS_OBJECT');
  await assertStatus(ask(client, deleteGroup, { name: 'kube' }), 'CONNECTOR_FOLLOWS_OBJECT');
  const other = { ...segment('rack/shop/db', {}, ['kube']), expectedRevision: undefined };
  await assertStatus(ask(client, putSegment, other), 'CONNECTOR_FOLLOWS_OBJECT');
  const gone = ask(client, deleteSegment, { name: 'rack/shop/db' });
  await assertStatus(gone, 'CONNECTOR_FOLLOWS_OBJECT');
});

test('a provisioning key is kept as a hash and never shown again', async (context) => {
  const { client, registry } = await start(context);
  await ask(client, putGroup, group('db'));
  const terms = { group: 'db', ttlSeconds: 0, maxUses: 0, description: ' for the lab ' };
  const request = { ...terms, cidrs: ['10.0.0.0/8', '2001:DB8::/32', '192.0.2.1'] };
  const { key, info } = await ask(client, ConnectorAdminService.createProvisioningKey, request);
  assert.deepEqual(info, {
    id: key.split('.')[1],
    group: 'db',
    createdAt: BigInt(START_SECONDS),
    expiresAt: BigInt(START_SECONDS + 86_400),
    maxUses: 1,
    uses: 0,
    cidrs: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1'],
    description: 'for the lab',
  });
  const listed = await ask(client, ConnectorAdminService.listProvisioningKeys, {
    ...{ group: '', pageSize: 0, pageToken: '' },
  });
  const secret = key.split('.')[2] ?? '';
  const kept = JSON.stringify([...registry.connectors.provisioningKeys(), listed.keys.length]);
  assert.ok(!kept.includes(secret));
  const name = info?.id ?? '';
  await ask(client, ConnectorAdminService.deleteProvisioningKey, { name });
  const again = ask(client, ConnectorAdminService.deleteProvisioningKey, { name });
  await assertStatus(again, 'CONNECTOR_KEY_NOT_FOUND');
});

test('terms of keys are refused beyond their limits', async (context) => {
  const { client } = await start(context);
  await ask(client, putGroup, group('db'));
  const request = { group: 'db', ttlSeconds: 1, maxUses: 1, cidrs: [], description: '' };
  const cases: readonly (readonly [Partial<typeof request> | { cidrs: string[] }, boolean])[] = [
    [{ ttlSeconds: 90 * 86_400 - 1 }, true],
    [{ ttlSeconds: 90 * 86_400 }, true],
    [{ ttlSeconds: 90 * 86_400 + 1 }, false],
    [{ ttlSeconds: 2 ** 32 - 1 }, false],
    [{ maxUses: 99_999 }, true],
    [{ maxUses: 100_000 }, true],
    [{ maxUses: 100_001 }, false],
    [{ cidrs: Array(31).fill('10.0.0.0/8') }, true],
    [{ cidrs: Array(32).fill('10.0.0.0/8') }, true],
    [{ cidrs: Array(33).fill('10.0.0.0/8') }, false],
    [{ cidrs: ['10.0.0.1/8'] }, false],
    [{ cidrs: ['example.org'] }, false],
    [{ cidrs: [''] }, false],
    [{ description: 'x'.repeat(511) }, true],
    [{ description: 'x'.repeat(512) }, true],
    [{ description: 'x'.repeat(513) }, false],
    [{ description: 'a\nb' }, false],
    [{ description: '\u202e' }, false],
  ];
  for (const [terms, good] of cases) {
    const call = ask(client, ConnectorAdminService.createProvisioningKey, { ...request, ...terms });
    if (good) await call;
    else await assertStatus(call, 'FIELD_INVALID');
  }
});

test('a bound key is registered for one connector of one group', async (context) => {
  const { client } = await start(context);
  await ask(client, putGroup, group('db'));
  await ask(client, putGroup, group('web'));
  const publicKey = Buffer.from(makeKey().spki);
  const none = { group: 'db', connectorId: '', maxRecoveries: 0, description: '' };
  const register = (extra: object) =>
    ask(client, ConnectorAdminService.registerBoundKey, { ...none, publicKey, ...extra });
  const key = await register({});
  assert.equal(key.connectorId, `key-${key.id.slice(0, 16)}`);
  assert.deepEqual(await register({}), key, 'registering it again is the same registration');
  await assertStatus(register({ group: 'web' }), 'CONNECTOR_BOUND_KEY_EXISTS');
  await assertStatus(register({ connectorId: 'other' }), 'CONNECTOR_BOUND_KEY_EXISTS');
  await assertStatus(register({ publicKey: Buffer.alloc(0) }), 'FIELD_MISSING');
  const weak = Buffer.from(makeKey('rsa-1024').spki);
  await assertStatus(register({ publicKey: weak }), 'KEY_RSA_SIZE');
  for (const connectorId of ['A', '-a', 'a'.repeat(64), 'a/b', '../x', 'a b']) {
    const bad = register({ publicKey: Buffer.from(makeKey().spki), connectorId });
    await assertStatus(bad, 'FIELD_INVALID');
  }
});

test('drain, resume and revoke change the record; each connector has its own outcome', async (context) => {
  const { client, registry, sessions, enrol, acts, revoked, clock } = await start(context);
  const { drainConnectors, resumeConnectors, revokeConnectors } = ConnectorAdminService;
  await ask(client, putGroup, group('db'));
  for (const id of ['c1', 'c2', 'c3']) await enrol(id, 'db');
  sessions.say('c1');
  const which = { ids: ['c1', 'c2', 'nobody'], group: '' };
  const drained = await ask(client, drainConnectors, {
    which,
    withinSeconds: 60,
    reason: 'maintenance',
  });
  assert.deepEqual(
    drained.outcomes.map(({ id, told, errorCode }) => [id, told, errorCode]),
    [
      ['c1', true, ''],
      ['c2', false, ''],
      ['nobody', false, 'CONNECTOR_NOT_FOUND'],
    ],
  );
  const record = registry.connectors.connector('c1');
  assert.equal(record?.standing, 'draining');
  assert.equal(record?.drainDeadlineMs, clock.nowMs() + 60_000);
  const whole = { ids: [], group: 'db' };
  const resumed = await ask(client, resumeConnectors, whole);
  assert.deepEqual(
    resumed.outcomes.map(({ id, errorCode }) => [id, errorCode]),
    [
      ['c1', ''],
      ['c2', ''],
    ],
    'who does not drain is passed over',
  );
  const c3 = await ask(client, resumeConnectors, { ids: ['c3'], group: '' });
  assert.equal(c3.outcomes[0]?.errorCode, 'CONNECTOR_NOT_DRAINING');
  const taken = await ask(client, revokeConnectors, { which: whole, reason: 'key leaked' });
  assert.deepEqual(
    taken.outcomes.map(({ id, told }) => [id, told]),
    [
      ['c1', true],
      ['c2', false],
      ['c3', false],
    ],
  );
  assert.deepEqual([...revoked].sort(), ['c1', 'c2', 'c3']);
  const last = acts.filter(({ act, connector }) => act === 'revoke' && connector === 'c1');
  assert.deepEqual(last, [
    {
      act: 'revoke',
      connector: 'c1',
      spiffeId: 'spiffe://example.org/connector/db/c1',
      reason: 'key leaked',
      requestedBy: 'local:0',
    },
  ]);
  const none = await ask(client, drainConnectors, { which: whole, withinSeconds: 0, reason: '' });
  assert.deepEqual(none.outcomes, [], 'a group passes over those that have ended');
  const one = await ask(client, drainConnectors, { which, withinSeconds: 0, reason: '' });
  assert.equal(one.outcomes[0]?.errorCode, 'CONNECTOR_ENDED');
});

test('nothing that is named is nobody, and two ways of naming are refused', async (context) => {
  const { client, enrol } = await start(context);
  const { drainConnectors, revokeConnectors } = ConnectorAdminService;
  await ask(client, putGroup, group('db'));
  await enrol('c1', 'db');
  for (const which of [undefined, { ids: [], group: '' }, { ids: ['c1'], group: 'db' }]) {
    const drain = ask(client, drainConnectors, { which, withinSeconds: 0, reason: '' });
    await assertStatus(drain, 'FIELD_INVALID');
    await assertStatus(ask(client, revokeConnectors, { which, reason: 'x' }), 'FIELD_INVALID');
  }
  const ids = Array.from({ length: 11 }, (_, i) => `c${i}`);
  const many = { which: { ids, group: '' }, withinSeconds: 0, reason: '' };
  await assertStatus(ask(client, drainConnectors, many), 'BATCH_TOO_LARGE');
  const fits = { ...many, which: { ids: ids.slice(1), group: '' } };
  assert.equal((await ask(client, drainConnectors, fits)).outcomes.length, 10);
  for (const [withinSeconds, good] of [
    [86_399, true],
    [86_400, true],
    [86_401, false],
  ] as const) {
    const call = ask(client, drainConnectors, { ...fits, withinSeconds });
    if (good) await call;
    else await assertStatus(call, 'FIELD_INVALID');
  }
});

test('only connectors that have ended are forgotten', async (context) => {
  const { client, registry, enrol } = await start(context);
  await ask(client, putGroup, group('db'));
  await enrol('c1', 'db');
  await enrol('c2', 'db');
  const change = { kind: 'stopped', atSeconds: START_SECONDS, reason: '' } as const;
  unwrap(await registry.connectors.changeConnector('c2', change));
  const { deleteConnectors } = ConnectorAdminService;
  const named = await ask(client, deleteConnectors, { ids: ['c1'], group: '' });
  assert.equal(named.outcomes[0]?.errorCode, 'CONNECTOR_NOT_ENDED');
  const whole = await ask(client, deleteConnectors, { ids: [], group: 'db' });
  assert.deepEqual(
    whole.outcomes.map(({ id, errorCode }) => [id, errorCode]),
    [['c2', '']],
  );
  assert.deepEqual(
    [...registry.connectors.connectors()].map(({ id }) => id),
    ['c1'],
  );
});

test('an upgrade takes turns within the window of the group', async (context) => {
  const { client, sessions, enrol } = await start(context);
  // 2027-01-01, when tests begin, is a Friday.
  const updateWindow = 'Sat 02:00-06:00 UTC';
  await ask(client, putGroup, group('db', { maxUnavailable: 2, updateWindow }));
  const ids = ['c1', 'c2', 'c3'];
  for (const id of ids) {
    await enrol(id, 'db');
    sessions.say(id);
  }
  await enrol('away', 'db');
  const value = { version: '2.0', imageDigest: '', notBeforeMs: 0n, notAfterMs: 0n };
  const command = { nonce: Buffer.alloc(0), kind: { $case: 'upgrade' as const, value } };
  const request = { which: { ids: [], group: 'db' }, command };
  const { commandConnectors } = ConnectorAdminService;
  const answer = await ask(client, commandConnectors, request);
  assert.deepEqual(
    answer.outcomes
      .filter(({ errorCode }) => errorCode !== '')
      .map(({ id, errorCode }) => [id, errorCode]),
    [['away', 'CONNECTOR_NOT_CONNECTED']],
  );
  const windows = sessions.told.map(({ command: told }) => {
    assert.equal(told.$case, 'upgrade');
    return [told.value.notBeforeMs, told.value.notAfterMs].map((ms) =>
      new Date(Number(ms)).toISOString().slice(0, 16),
    );
  });
  assert.equal(windows.length, 3);
  const parts = new Set(windows.map(String));
  assert.deepEqual([...parts].sort(), [
    '2027-01-02T02:00,2027-01-02T04:00',
    '2027-01-02T04:00,2027-01-02T06:00',
  ]);
  const inFirst = windows.filter(([begin]) => begin === '2027-01-02T02:00').length;
  assert.ok(inFirst <= 2, 'no more at once than the group says');
});

test('commands that have calls of their own, and windows that have passed, are refused', async (context) => {
  const { client, enrol, sessions } = await start(context);
  await ask(client, putGroup, group('db'));
  await enrol('c1', 'db');
  sessions.say('c1');
  const { commandConnectors } = ConnectorAdminService;
  const now = BigInt(START_SECONDS) * 1000n;
  const upgrade = (value: object) => ({
    $case: 'upgrade' as const,
    value: { version: '2', imageDigest: '', notBeforeMs: 0n, notAfterMs: 0n, ...value },
  });
  for (const kind of [
    undefined,
    { $case: 'drain' as const, value: { deadlineMs: 1n, reason: '' } },
    { $case: 'revoke' as const, value: { reason: '' } },
    { $case: 'renewNow' as const, value: { reason: 'a\nb' } },
    upgrade({ version: 'a\u001b[31m' }),
    upgrade({ imageDigest: 'sha256:abc' }),
    upgrade({ notBeforeMs: 2n, notAfterMs: 1n }),
    upgrade({ notBeforeMs: 1n, notAfterMs: now }),
    upgrade({ notBeforeMs: now, notAfterMs: now + 30n * 86_400_000n + 1n }),
    upgrade({ notBeforeMs: 0n, notAfterMs: 2n ** 63n - 1n }),
  ]) {
    const command = { nonce: Buffer.alloc(0), kind };
    const which = { ids: ['c1'], group: '' };
    await assertStatus(ask(client, commandConnectors, { which, command }), 'FIELD_INVALID');
  }
  assert.deepEqual(sessions.told, []);
});

test('a connector that answers no commands is said to be that, not away', async (context) => {
  const { client, enrol, sessions } = await start(context);
  await ask(client, putGroup, group('db'));
  await enrol('c1', 'db');
  sessions.say('c1');
  sessions.isFull = true;
  const kind = { $case: 'renewNow' as const, value: { reason: '' } };
  const { outcomes } = await ask(client, ConnectorAdminService.commandConnectors, {
    which: { ids: ['c1'], group: '' },
    command: { nonce: Buffer.alloc(0), kind },
  });
  assert.deepEqual(
    outcomes.map(({ errorCode }) => errorCode),
    ['CONNECTOR_COMMANDS_UNANSWERED'],
  );
});

test('diagnostics are those of the last question, whole or not, with why where none come', async (context) => {
  const { client, enrol, sessions } = await start(context);
  const { commandConnectors, listDiagnostics } = ConnectorAdminService;
  await ask(client, putGroup, group('db'));
  const ids = ['c1', 'c2', 'c3', 'c4'];
  for (const id of ids) {
    await enrol(id, 'db');
    sessions.say(id);
  }
  const command = {
    nonce: Buffer.alloc(0),
    kind: { $case: 'collectDiagnostics' as const, value: {} },
  };
  const which = { ids: ids.slice(0, 3), group: '' };
  await ask(client, commandConnectors, { which, command });
  sessions.tellDiagnostics('c1', 'all is well');
  sessions.tellDiagnostics('c2', 'first', true);
  sessions.end('c3');
  const all = await ask(client, listDiagnostics, { ids: [...ids, 'nobody'] });
  const now = BigInt(START_SECONDS) * 1000n;
  assert.deepEqual(
    all.diagnostics.map(({ id, answeredAtMs, parts, errorCode }) => {
      return [id, answeredAtMs, parts.map(({ text }) => text).join(), errorCode];
    }),
    [
      ['c1', now, 'all is well', ''],
      ['c2', 0n, 'first', ''],
      ['c3', 0n, '', 'CONNECTOR_NOT_CONNECTED'],
      ['c4', 0n, '', 'CONNECTOR_DIAGNOSTICS_NONE'],
      ['nobody', 0n, '', 'CONNECTOR_DIAGNOSTICS_NONE'],
    ],
  );
  const many = Array.from({ length: 11 }, (_, i) => `c${i}`);
  await assertStatus(ask(client, listDiagnostics, { ids: many }), 'BATCH_TOO_LARGE');
});

test('no more connectors are asked for diagnostics at once than answers are kept of', async (context) => {
  const { client, enrol, sessions } = await start(context);
  await ask(client, putGroup, group('db'));
  const enrolAll = (from: number, count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => enrol(`c${from + i}`, 'db')));
  const command = {
    nonce: Buffer.alloc(0),
    kind: { $case: 'collectDiagnostics' as const, value: {} },
  };
  const request = { which: { ids: [], group: 'db' }, command };
  await enrolAll(0, MAX_DIAGNOSED);
  const { outcomes } = await ask(client, ConnectorAdminService.commandConnectors, request);
  assert.equal(outcomes.length, MAX_DIAGNOSED);
  await enrolAll(MAX_DIAGNOSED, 1);
  const all = ask(client, ConnectorAdminService.commandConnectors, request);
  await assertStatus(all, 'BATCH_TOO_LARGE');
  assert.deepEqual(sessions.told, []);
});

test('a watch tells how connectors stand, then what changes, each as it is last', async (context) => {
  const { client, sessions, enrol, registry } = await start(context);
  await ask(client, putGroup, group('db'));
  await ask(client, putGroup, group('web'));
  await enrol('c1', 'db');
  await enrol('w1', 'web');
  const watch = watchOf(client, { group: 'db', states: ['enrolled', 'active', 'stopped'] });
  context.after(() => watch.cancel());
  assert.deepEqual(await watch.next(), ['c1', 'enrolled']);
  assert.deepEqual(await watch.next(), ['', 'done']);
  sessions.say('w1');
  sessions.say('c1');
  assert.deepEqual(await watch.next(), ['c1', 'active']);
  sessions.say('c1', { health: 'degraded', reason: 'disk' });
  assert.deepEqual(await watch.next(), ['c1', 'removed'], 'it is no longer of those asked for');
  sessions.say('c1');
  assert.deepEqual(await watch.next(), ['c1', 'active']);
  const stopped = { kind: 'stopped', atSeconds: START_SECONDS, reason: '' } as const;
  unwrap(await registry.connectors.changeConnector('c1', stopped));
  assert.deepEqual(await watch.next(), ['c1', 'stopped']);
  unwrap(await registry.connectors.deleteConnectors([{ id: 'c1', revision: undefined }]));
  assert.deepEqual(await watch.next(), ['c1', 'removed']);
  assert.equal(sessions.watchers, 1);
});

test('a page goes on where the one before ended', async (context) => {
  const { client, enrol } = await start(context);
  await ask(client, putGroup, group('db'));
  const ids = Array.from({ length: 7 }, (_, i) => `c${i}`);
  for (const id of ids) await enrol(id, 'db');
  const seen: string[] = [];
  for (let pageToken = ''; ; ) {
    const request = { group: 'db', states: ['enrolled'], pageSize: 3, pageToken };
    const page = await ask(client, ConnectorAdminService.listConnectors, request);
    assert.ok(page.connectors.length <= 3);
    seen.push(...page.connectors.map(({ id }) => id));
    pageToken = page.nextPageToken;
    if (pageToken === '') break;
  }
  assert.deepEqual(seen, ids);
  const broken = { group: '', states: [], pageSize: 3, pageToken: 'x' };
  await assertStatus(ask(client, ConnectorAdminService.listConnectors, broken), 'PAGE_TOKEN');
  const odd = { group: '', states: ['gone'], pageSize: 3, pageToken: '' };
  await assertStatus(ask(client, ConnectorAdminService.listConnectors, odd), 'FIELD_INVALID');
});

function watchOf(client: Client, filter: { readonly group: string; readonly states: string[] }) {
  const { path, requestSerialize, responseDeserialize } = ConnectorAdminService.watchConnectors;
  const request = { ...filter, pageSize: 0, pageToken: '' };
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
  call.on('error', () => {});
  const changes = call[Symbol.asyncIterator]();
  const next = async (): Promise<readonly [string, string]> => {
    const { value } = await changes.next();
    // The stream is of these messages.
    const { connector, removed, initialDone } = value as ConnectorChange;
    if (initialDone) return ['', 'done'];
    return [connector?.id ?? '', removed ? 'removed' : (connector?.state ?? '')];
  };
  return { next, cancel: () => call.cancel() };
}

test('a revocation notes which certificates no CRL can list', async (context) => {
  const { client, registry, enrol } = await start(context);
  await ask(client, putGroup, group('db'));
  const notes: string[] = [];
  const revoke = (id: string): Promise<string[]> =>
    new Promise((resolve, reject) => {
      const request = { which: { ids: [id], group: '' }, reason: 'key leaked' };
      const { path, requestSerialize, responseDeserialize } =
        ConnectorAdminService.revokeConnectors;
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        (error) => error !== null && reject(error),
      );
      call.on('status', ({ metadata }) => resolve(metadata.get(NOTE_KEY).map(String)));
    });
  for (const [id, issuerDer] of [
    ['listed', Uint8Array.of(0x30, 0)],
    ['unlisted', undefined],
  ] as const) {
    const { serial, spiffeId } = await enrol(id, 'db');
    const times = { notAfterSeconds: START_SECONDS + 3600, revokedAtSeconds: START_SECONDS };
    const signer = { authorityId: '', issuerDer, agentId: undefined };
    unwrap(
      await registry.revoke([{ serial, spiffeId, ...signer, ...times, reason: 'key-compromise' }]),
    );
    notes.push(...(await revoke(id)).map((note) => `${id}: ${note}`));
  }
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? '', /^unlisted: 1 SVIDs are in no CRL/);
});
