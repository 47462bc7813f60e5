import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { ERRORS, type ErrorCode, SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { FleetGate, type FleetLimits, isSilence } from './fleet-gate.ts';

const forever = new AbortController().signal;
const codeOf = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

function setUp(limits: Partial<FleetLimits> = {}) {
  const clock = new ManualClock(0);
  const metrics = createMetrics('test');
  return { clock, metrics, gate: new FleetGate({ clock, metrics, limits }) };
}

/** Looks that end when told, and how many there were at once. */
function looks(gate: FleetGate) {
  const ends: (() => void)[] = [];
  const seen = { running: 0, most: 0, ends };
  const look = (bmc: string, signal = forever): Promise<Result<string>> =>
    gate.pass(bmc, signal, async () => {
      seen.running += 1;
      seen.most = Math.max(seen.most, seen.running);
      await new Promise<void>((resolve) => ends.push(resolve));
      seen.running -= 1;
      return ok(bmc);
    });
  return { seen, look };
}

/** Ends looks as they begin until all are done. */
async function endAll(ends: (() => void)[], all: Promise<unknown>): Promise<void> {
  let done = false;
  void all.then(() => {
    done = true;
  });
  while (!done) {
    ends.shift()?.();
    await new Promise(setImmediate);
  }
}

test('no more looks than may are under way, and all come to their turn', async () => {
  const { gate } = setUp({ concurrent: 3 });
  const { seen, look } = looks(gate);
  const all = Promise.all(Array.from({ length: 20 }, (_, at) => look(`bmc-${at}`)));
  await endAll(seen.ends, all);
  assert.deepEqual((await all).map(codeOf), Array(20).fill('ok'));
  assert.equal(seen.most, 3);
});

test('one BMC is looked at once at a time, and those who wait for it hold no place', async () => {
  const { gate } = setUp({ concurrent: 2 });
  const { seen, look } = looks(gate);
  const all = Promise.all([look('a'), look('a'), look('a'), look('b')]);
  await new Promise(setImmediate);
  assert.equal(seen.running, 2);
  await endAll(seen.ends, all);
  assert.equal(seen.most, 2);
});

test('one more than may wait is REDFISH_QUEUE_FULL, for a BMC and for the fleet', async () => {
  const { gate } = setUp({ concurrent: 1, waiting: 1 });
  const { seen, look } = looks(gate);
  const all = Promise.all([look('a'), look('b')]);
  assert.equal(codeOf(await look('c')), 'REDFISH_QUEUE_FULL');
  const atOne = [look('a'), look('a'), look('a'), look('a')];
  assert.equal(codeOf(await look('a')), 'REDFISH_QUEUE_FULL');
  await endAll(seen.ends, Promise.all([all, ...atOne]));
});

test('who stops waiting leaves, and takes no place', async () => {
  const { gate } = setUp({ concurrent: 1 });
  const { seen, look } = looks(gate);
  const controller = new AbortController();
  const first = look('a');
  const waits = look('b', controller.signal);
  const third = look('c');
  await new Promise(setImmediate);
  controller.abort();
  assert.equal(codeOf(await waits), 'REDFISH_QUEUE_FULL');
  await endAll(seen.ends, Promise.all([first, third]));
  assert.equal(
    codeOf(await gate.pass('d', controller.signal, () => Promise.resolve(ok(1)))),
    'REDFISH_QUEUE_FULL',
  );
});

test('a look that throws gives its place back', async () => {
  const { gate } = setUp({ concurrent: 1 });
  const thrown = gate.pass('a', forever, () => Promise.reject(new TypeError('planted')));
  await assert.rejects(thrown, TypeError);
  assert.equal(codeOf(await gate.pass('a', forever, () => Promise.resolve(ok(1)))), 'ok');
});

test('a BMC that refused the account is left alone for a while, the others are not', async () => {
  const { clock, gate } = setUp({ lockoutMs: 1_000 });
  let asked = 0;
  const refused = async (): Promise<Result<number>> => {
    asked += 1;
    return fail('REDFISH_UNAUTHENTICATED', 'planted');
  };
  for (const [advanceMs, times] of [
    [0, 1],
    [0, 1],
    [999, 1],
    [1, 2],
  ] as const) {
    clock.advance(advanceMs);
    assert.equal(codeOf(await gate.pass('a', forever, refused)), 'REDFISH_UNAUTHENTICATED');
    assert.equal(asked, times);
  }
  assert.equal(codeOf(await gate.pass('b', forever, () => Promise.resolve(ok(1)))), 'ok');
});

test('looks are counted by what came of them', async () => {
  const { metrics, gate } = setUp();
  await gate.pass('a', forever, () => Promise.resolve(ok(1)));
  await gate.pass('a', forever, () => Promise.resolve(fail('REDFISH_TIMEOUT', 'planted')));
  const text = await metrics.registry.metrics();
  assert.match(text, /test_bmc_looks_total\{code="ok"\} 1/);
  assert.match(text, /test_bmc_looks_total\{code="REDFISH_TIMEOUT"\} 1/);
  assert.match(text, /test_bmc_looks_running 0/);
});

const SILENCE: readonly (readonly [code: ErrorCode, silence: boolean])[] = [
  ['REDFISH_UNREACHABLE', true],
  ['REDFISH_TIMEOUT', true],
  ['REDFISH_BUSY', true],
  ['REDFISH_FAULT', true],
  ['REDFISH_QUEUE_FULL', false],
  ['REDFISH_PIN_MISMATCH', false],
  ['REDFISH_UNAUTHENTICATED', false],
  ['REDFISH_TARGET_UNKNOWN', false],
  ['REDFISH_ANSWER_MALFORMED', false],
  ['REDFISH_CHAIN_MALFORMED', false],
  ['STORE_CONFLICT', false],
];

for (const [code, silence] of SILENCE) {
  test(`${code} is ${silence ? '' : 'no '}silence`, () => {
    assert.ok(code in ERRORS);
    assert.equal(isSilence(new SignetError(code, 'planted')), silence);
  });
}
