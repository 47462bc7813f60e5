import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SessionRig } from '../../test/support/connector-session.ts';
import { openState } from '../../test/support/state.ts';
import { toWireConnector } from '../api/convert/connectors.ts';
import { ConnectorInfo, GroupStatus } from '../gen/signet/connector/v1/admin.ts';
import { TargetHealth } from '../gen/signet/connector/v1/connector.ts';

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
