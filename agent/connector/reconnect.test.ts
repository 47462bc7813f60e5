import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import { fail } from '../../src/base/result.ts';
import { server, session } from '../../test/support/companion.ts';
import {
  type CompanionServer,
  companionSettings,
  runCompanion,
} from '../../test/support/companion-server.ts';
import { soon } from '../../test/support/processes.ts';

/** Draws the longest time there is. */
const MOST: Random = { bytes: (count) => new Uint8Array(count).fill(0xff) };

/** Runs a companion whose every wait is noted, in whole milliseconds. */
async function noted(context: TestContext, of: CompanionServer): Promise<readonly number[]> {
  const waits: number[] = [];
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    monotonicMs: () => systemClock.monotonicMs(),
    after(ms, action) {
      waits.push(Math.round(ms));
      return systemClock.after(ms, action);
    },
  };
  await runCompanion(context, companionSettings(context, of), { clock, random: MOST });
  return waits;
}

describe('the wait before a session is opened again', () => {
  test('is drawn from reconnect_spread_ms of Welcome where that is longer', async (context) => {
    const of = await server(context);
    of.reconnectSpreadMs = 1_234_567;
    const waits = await noted(context, of);
    (await session(of, 1)).end();
    await soon(async () => waits.includes(1_234_567));
  });

  test('is no longer than an hour, whatever the server asks for', async (context) => {
    const of = await server(context);
    of.reconnectSpreadMs = 4_000_000_000;
    const waits = await noted(context, of);
    (await session(of, 1)).end();
    await soon(async () => waits.includes(3_600_000));
  });

  test('is that of a server that paces and up to a second more', async (context) => {
    const of = await server(context);
    of.refuseSession = () =>
      fail('CONNECTOR_SESSION_PACED', 'too many', { details: { retryAfterMs: 54_321 } });
    const waits = await noted(context, of);
    await soon(async () => waits.includes(55_321));
  });
});

test('a second Welcome changes the pace of heartbeats, and there is one pace only', async (context) => {
  const of = await server(context);
  of.heartbeatSeconds = 29;
  const pending: number[] = [];
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    monotonicMs: () => systemClock.monotonicMs(),
    after(ms, action) {
      const wholeMs = Math.round(ms);
      pending.push(wholeMs);
      const cancel = systemClock.after(ms, action);
      let isPending = true;
      return () => {
        if (isPending) pending.splice(pending.indexOf(wholeMs), 1);
        isPending = false;
        cancel();
      };
    },
  };
  await runCompanion(context, companionSettings(context, of), { clock, random: MOST });
  const first = await session(of, 1);
  await soon(async () => pending.includes(29_000));
  const value = {
    connectorId: 'c1',
    serverTimeMs: BigInt(Date.now()),
    heartbeatSeconds: 31,
    clockOffsetMs: 0n,
    offlineSeconds: 0,
    reconnectSpreadMs: 0,
  };
  first.send({ $case: 'welcome', value });
  await soon(async () => pending.includes(31_000));
  assert.ok(!pending.includes(29_000));
});
