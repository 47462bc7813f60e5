import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SessionRig } from '../../test/support/connector-session.ts';
import { SILENT } from '../../test/support/issuance.ts';
import { openState } from '../../test/support/state.ts';
import { toWireConnector } from '../api/convert/connectors.ts';
import { ConnectorInfo, GroupStatus } from '../gen/signet/connector/v1/admin.ts';
import {
  ConnectorHealth,
  Instance,
  ResourceType,
  TargetHealth,
} from '../gen/signet/connector/v1/connector.ts';
import { instanceOf } from './instance.ts';

async function rig(context: TestContext): Promise<SessionRig> {
  const { registry } = await openState(context);
  const made = new SessionRig(registry, { sessionsPerSecond: 30 });
  context.after(() => made.hub.close());
  await made.group('edge');
  return made;
}

describe('what a connector says', () => {
  for (const clockMs of [-(2n ** 63n), -1n, 0n, 2n ** 63n - 1n]) {
    it(`a clock at ${clockMs} keeps neither its session from opening nor operators from reading`, async (context) => {
      const made = await rig(context);
      const record = await made.enrol('c1', '1');
      const session = made.open(record, { clockMs: Number(clockMs) });
      assert.equal(session.stream.only('welcome').connectorId, 'c1');
      made.heartbeat(session, { clockMs });
      const info = toWireConnector(record, made.hub);
      assert.equal(ConnectorInfo.decode(ConnectorInfo.encode(info).finish()).state, 'degraded');
    });
  }

  it('flows beyond 64 bits together keep nobody from reading the group', async (context) => {
    const made = await rig(context);
    for (const name of ['c1', 'c2']) {
      const session = made.open(await made.enrol(name, name.slice(1)));
      made.heartbeat(session, { activeFlows: 2n ** 64n - 1n });
    }
    const status = made.hub.groupStatus('edge');
    const { activeFlows } = GroupStatus.decode(GroupStatus.encode(status).finish());
    assert.equal(activeFlows, 2n * 0xffff_ffffn);
  });

  it('after its session has ended is not heard: a late Goodbye stops nobody, late health keeps nothing', async (context) => {
    const made = await rig(context);
    await made.segment('a');
    const record = await made.enrol('c1', '1');
    const before = made.open(record);
    const after = made.open(record);
    assert.equal(await before.outcome(), 'CONNECTOR_SESSION_REPLACED');
    const health = TargetHealth.TARGET_HEALTH_UP;
    const target = { segmentId: 'a', target: 'a:1', health, latencyMs: 1, error: '' };
    before.say({ $case: 'segmentHealth', value: { segments: [target] } });
    assert.equal(made.hub.context.targets.used, 0);
    before.say({ $case: 'goodbye', value: { drained: true, openFlows: 0n } });
    await made.hub.close();
    assert.equal(made.registry.connectors.connector('c1')?.standing, 'enrolled');
    assert.equal(after.session.isOver, false);
  });
});

it('one connector that begins sessions without end leaves room for the others', async (context) => {
  const made = await rig(context);
  const outcomes = Array.from({ length: 1000 }, () => made.hub.admit('c1').ok);
  assert.equal(outcomes.filter(Boolean).length, 20);
  for (let at = 0; at < 10; at++) assert.equal(made.hub.admit(`other-${at}`).ok, true);
  const refused = made.hub.admit('another');
  assert.equal(refused.ok ? 'ok' : refused.error.code, 'CONNECTOR_SESSION_PACED');
});

/** What clears a screen, turns text around and breaks a line. */
const EVIL = 'up\u001b[2J\u202e\u2028\r\nroot: ok';
const PLAIN = 'up [2J    root: ok';

describe('texts of a connector', () => {
  it('reach no log, no status and no operator with what a terminal obeys', async (context) => {
    const { registry } = await openState(context);
    const logged: unknown[] = [];
    const take = (facts: unknown): void => void logged.push(facts);
    const log = { ...SILENT, warn: take, info: take };
    const made = new SessionRig(registry, { log });
    context.after(() => made.hub.close());
    await made.group('edge');
    await made.segment('db');
    const record = await made.enrol('c1', '1');
    const session = made.open(record, { segments: EVIL });
    const segments = session.stream.only('segments');
    made.heartbeat(session, { health: ConnectorHealth.CONNECTOR_HEALTH_DEGRADED, reason: EVIL });
    const unasked = { commandNonce: Buffer.alloc(0), more: false };
    const event = { reason: EVIL, message: EVIL, warning: true, ...unasked };
    session.say({ $case: 'event', value: event });
    const target = { segmentId: 'db', target: 'db:1', latencyMs: 1, error: EVIL };
    const health = TargetHealth.TARGET_HEALTH_DOWN;
    const changes = [
      { ...target, health },
      { ...target, target: EVIL, health },
    ];
    session.say({ $case: 'segmentHealth', value: { segments: changes } });
    const { version, nonce } = segments;
    const nack = { type: ResourceType.RESOURCE_TYPE_SEGMENTS, version, nonce, error: EVIL };
    session.say({ $case: 'nack', value: nack });
    const info = toWireConnector(record, made.hub);
    assert.deepEqual(
      info.segmentHealth.map((one) => [one.target, one.error]),
      [['db:1', PLAIN]],
    );
    assert.deepEqual([info.reason, info.lastNack], [PLAIN, `segments ${version}: ${PLAIN}`]);
    assert.deepEqual(info.versions, []);
    assert.doesNotMatch(JSON.stringify([logged, info.reason]), /\\u001b|\\r|\u202e|\u2028/);
    assert.equal(logged.length, 2);
    for (const field of ['version', 'os', 'arch', 'hostname', 'podName', 'nodeName'] as const) {
      assert.equal(instanceOf({ ...Instance.fromJSON({}), [field]: EVIL })[field], PLAIN);
    }
  });

  it('stand where a version belongs that commands do not have: not kept, and no reason to count as degraded', async (context) => {
    const { registry } = await openState(context);
    const logged: { readonly message: string }[] = [];
    const warn = (facts: { readonly message: string }): void => void logged.push(facts);
    const made = new SessionRig(registry, { log: { ...SILENT, warn } as typeof SILENT });
    context.after(() => made.hub.close());
    await made.group('edge');
    const record = await made.enrol('c1', '1');
    const { session, stream, say } = made.open(record);
    made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} });
    const { nonce } = stream.only('command');
    const type = ResourceType.RESOURCE_TYPE_COMMAND;
    const version = 'x'.repeat(1 << 20);
    say({ $case: 'nack', value: { type, version, nonce, error: 'somebody else does that' } });
    assert.deepEqual(
      logged.map(({ message }) => message),
      ['command: somebody else does that'],
    );
    assert.deepEqual([session.lastNack, made.hub.stateOf(record).state], ['', 'active']);
  });
});
