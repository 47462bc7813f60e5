import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionRig } from '../../test/support/connector-session.ts';
import { boundKey } from '../../test/support/connector-state.ts';
import { connectorRecord } from '../../test/support/connectors.ts';
import { openState } from '../../test/support/state.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, ok, unwrap } from '../base/result.ts';
import { startConnectorPruner } from './pruner.ts';

const DAY_MS = 86_400_000;

test('one that ended is forgotten in time; a revoked one not while it has what could bring it back', async (context) => {
  const { registry } = await openState(context);
  const { connectors } = registry;
  const made = new SessionRig(registry);
  context.after(() => made.hub.close());
  await made.group('edge');
  await made.enrol('ended', '1', { claimant: 'pod:east/1' });
  await made.enrol('pod', '2', { claimant: 'pod:east/2' });
  await made.enrol('bound', '3', { claimant: 'bound:ab' });
  unwrap(await connectors.registerBoundKey(boundKey('ab', 'edge', { connectorId: 'bound' })));
  const atSeconds = Math.floor(made.clock.nowMs() / 1000);
  for (const id of ['pod', 'bound']) {
    unwrap(await connectors.changeConnector(id, { kind: 'revoked', atSeconds, reason: '' }));
  }
  // Of its own: that of the rig ticks for sessions, too.
  const clock = new ManualClock(made.clock.nowMs());
  const asked: string[][] = [];
  const stop = startConnectorPruner({
    registry: {
      connectors: () => connectors.connectors(),
      group: (name) => connectors.group(name),
      boundKey: (id) => connectors.boundKey(id),
      async deleteConnectors(which) {
        asked.push(which.map(({ id }) => id));
        return ok(which.map(() => true));
      },
    },
    clock,
    onForgotten: () => {},
    onFault: () => assert.fail('a fault'),
  });
  context.after(stop);
  const forgottenAfter = async (ms: number): Promise<string[]> => {
    asked.length = 0;
    clock.advance(ms);
    await Promise.resolve();
    return (asked[0] ?? []).sort();
  };
  assert.deepEqual(await forgottenAfter(3_600_000), []);
  assert.deepEqual(await forgottenAfter(DAY_MS), ['ended']);
  assert.deepEqual(await forgottenAfter(89 * DAY_MS), ['ended']);
  assert.deepEqual(await forgottenAfter(DAY_MS), ['ended', 'pod']);
  unwrap(await connectors.deleteBoundKeys(['ab']));
  assert.deepEqual(await forgottenAfter(60_000), ['bound', 'ended', 'pod']);
});

test('one that comes back while it is looked at is not forgotten', async (context) => {
  const { registry } = await openState(context);
  const { connectors } = registry;
  const made = new SessionRig(registry);
  context.after(() => made.hub.close());
  await made.group('edge');
  for (const name of ['gone', 'back']) await made.enrol(name, name, { claimant: `pod:${name}` });
  const clock = new ManualClock(made.clock.nowMs() + DAY_MS);
  const { promise, resolve } = Promise.withResolvers<number>();
  const stop = startConnectorPruner({
    registry: {
      connectors: () => connectors.connectors(),
      group: (name) => connectors.group(name),
      boundKey: (id) => connectors.boundKey(id),
      async deleteConnectors(which) {
        await made.certify('back', 'newer');
        return connectors.deleteConnectors(which);
      },
    },
    clock,
    onForgotten: resolve,
    onFault: () => assert.fail('a fault'),
  });
  context.after(stop);
  clock.advance(60_000);
  assert.equal(await promise, 1);
  assert.deepEqual(
    [...connectors.connectors()].map(({ id }) => id),
    ['back'],
  );
});

test('what the store does not take is tried again, and nothing after the end', async () => {
  const ended = connectorRecord({ claimant: 'pod:1', serial: '1', expiresAtSeconds: 1 });
  const clock = new ManualClock(DAY_MS);
  const faults: string[] = [];
  const asked: unknown[] = [];
  let isDown = true;
  let isForgotten = false;
  const stop = startConnectorPruner({
    registry: {
      connectors: () => (isForgotten ? [] : [ended]),
      group: () => undefined,
      boundKey: () => undefined,
      async deleteConnectors(which) {
        asked.push(which);
        if (isDown) return fail('STORE_UNAVAILABLE', 'no disk');
        isForgotten = true;
        return ok(which.map(() => true));
      },
    },
    clock,
    onForgotten: () => {},
    onFault: ({ code }) => faults.push(code),
  });
  const pass = async (): Promise<number> => {
    clock.advance(60_000);
    await new Promise(setImmediate);
    return asked.length;
  };
  assert.equal(await pass(), 1);
  isDown = false;
  assert.equal(await pass(), 2);
  assert.equal(await pass(), 2);
  assert.deepEqual([faults, asked[1]], [['STORE_UNAVAILABLE'], [{ id: 'c1', revision: 1n }]]);
  isForgotten = false;
  stop();
  assert.equal(await pass(), 2);
});
