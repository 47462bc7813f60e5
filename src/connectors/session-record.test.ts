import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SessionRig } from '../../test/support/connector-session.ts';
import { enrolment, instanceInfo } from '../../test/support/connector-state.ts';
import { agentRecord, openState } from '../../test/support/state.ts';
import { ok, type Result, unwrap } from '../base/result.ts';
import type { X509Svid } from '../gen/signet/connector/v1/connector.ts';
import type { Registry } from '../registry/registry.ts';
import type { AgentRecord } from '../rules/entry.ts';
import type { SessionHubOptions } from './session-hub.ts';

async function rig(
  context: TestContext,
  options: Partial<SessionHubOptions> = {},
  agents?: ReadonlyMap<string, AgentRecord>,
): Promise<SessionRig> {
  const { registry } = await openState(context);
  const made = new SessionRig(
    agents === undefined ? registry : withAgents(registry, agents),
    options,
  );
  context.after(() => made.hub.close());
  await made.group('edge');
  return made;
}

function withAgents(registry: Registry, agents: ReadonlyMap<string, AgentRecord>): Registry {
  return new Proxy(registry, {
    get(target, name) {
      if (name === 'agent') return ({ uri }: { uri: string }) => agents.get(uri);
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('a session whose record changes', () => {
  it('ends within a second of a ban of the node that vouches for it since it enrolled again', async (context) => {
    const nodes = new Map(
      ['n1', 'n2'].map((name) => [agentRecord(name).id.uri, agentRecord(name)]),
    );
    const made = await rig(context, {}, nodes);
    const [old, now] = [...nodes.values()];
    assert.ok(old && now);
    const record = await made.enrol('c1', '1', { agentId: old.id });
    const { session, outcome } = made.open(record);
    const { claim, ...rest } = enrolment('c1', 'edge');
    const again = { ...rest, claim: { ...claim, agentId: now.id } };
    assert.equal(unwrap(await made.registry.connectors.enrolConnector(again)).outcome, 'enrolled');
    assert.equal(session.record.agentId?.uri, now.id.uri);
    nodes.set(old.id.uri, { ...old, banned: true });
    made.clock.advance(1000);
    assert.equal(session.isOver, false, 'the old node is not its own any more');
    nodes.set(now.id.uri, { ...now, banned: true });
    made.clock.advance(1000);
    assert.equal(await outcome(), 'CONNECTOR_NODE');
    assert.deepEqual([made.hub.size, [...made.hub.sessionsOf('edge')]], [0, []]);
  });

  it('ends at once where the node that vouches for it now is banned already', async (context) => {
    const banned = { ...agentRecord('n2'), banned: true };
    const made = await rig(context, {}, new Map([[banned.id.uri, banned]]));
    const { session, outcome } = made.open(await made.enrol('c1', '1'));
    assert.equal(session.isOver, false);
    const { claim, ...rest } = enrolment('c1', 'edge');
    const again = { ...rest, claim: { ...claim, agentId: banned.id } };
    unwrap(await made.registry.connectors.enrolConnector(again));
    assert.equal(await outcome(), 'CONNECTOR_NODE');
  });

  it('ends where its connector was forgotten, and leaves nothing behind', async (context) => {
    const made = await rig(context);
    const { outcome } = made.open(await made.enrol('c1', '1'));
    unwrap(await made.registry.connectors.deleteConnectors([{ id: 'c1', revision: undefined }]));
    assert.equal(await outcome(), 'CONNECTOR_UNKNOWN');
    assert.deepEqual([made.hub.size, [...made.hub.sessionsOf('edge')]], [0, []]);
  });

  it('that says nothing of itself leaves what is known', async (context) => {
    const made = await rig(context);
    const instance = instanceInfo({ version: '1.2', hostname: 'h' });
    const { connectors } = made.registry;
    unwrap(await connectors.enrolConnector({ ...enrolment('c1', 'edge'), instance }));
    await made.certify('c1', '1');
    const record = connectors.connector('c1');
    assert.ok(record);
    made.open(record);
    made.clock.advance(10_000);
    await made.hub.close();
    const kept = connectors.connector('c1');
    assert.ok(kept && kept.lastHeardAtSeconds > 0);
    assert.deepEqual(kept.instance, instance);
  });
});

describe('renewals of one connector', () => {
  it('are one at a time and paced, in however many sessions they are asked for', async (context) => {
    const asked: ((svid: Result<X509Svid>) => void)[] = [];
    const renew = (): Promise<Result<X509Svid>> => new Promise((resolve) => asked.push(resolve));
    const made = await rig(context, { renew });
    const record = await made.enrol('c1', '1');
    const csr = { $case: 'renewCsr', value: { csr: Buffer.of(1) } } as const;
    const first = made.open(record);
    first.say(csr);
    const second = made.open(record);
    made.clock.advance(60_000);
    second.say(csr);
    assert.equal(second.stream.only('notice').code, 'CONNECTOR_RENEWAL_BUSY');
    assert.equal(asked.length, 1);
    const svid = { chain: [], serialNumber: '2', notBefore: 1n, expiresAt: 2n };
    asked[0]?.(ok(svid));
    await new Promise(setImmediate);
    // Whoever asked has gone; it asks again in its next session.
    assert.deepEqual(second.stream.take(), []);
    second.say(csr);
    assert.equal(asked.length, 2);
    asked[1]?.(ok(svid));
    await new Promise(setImmediate);
    assert.deepEqual(second.stream.only('svid').svid, svid);
    const renewals = async (): Promise<number> => {
      second.say(csr);
      asked.at(-1)?.(ok(svid));
      await new Promise(setImmediate);
      return asked.length;
    };
    // Three at once; in a new session too.
    made.clock.advance(15_000);
    for (const count of [3, 4, 5, 5]) assert.equal(await renewals(), count);
    made.clock.advance(5_000);
    for (const count of [6, 6]) assert.equal(await renewals(), count);
  });

  it('that throw end nothing but themselves', async (context) => {
    const made = await rig(context, { renew: () => Promise.reject(new TypeError('a fault')) });
    const { say, stream, session } = made.open(await made.enrol('c1', '1'));
    say({ $case: 'renewCsr', value: { csr: Buffer.of(1) } });
    await new Promise(setImmediate);
    assert.equal(stream.only('notice').code, 'INTERNAL');
    assert.equal(session.isOver, false);
    assert.equal(made.hub.context.renewals.isRunning('c1'), false);
  });
});
