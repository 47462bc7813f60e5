import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { fail, ok } from '../base/result.ts';
import { Lifecycle, STOP_LIMIT_MS, watchLifeline } from './lifecycle.ts';
import { createLogger } from './log.ts';

const log = createLogger({ level: 'silent' });

test('parts are stopped last first, once, and a failing one does not hold up the rest', async () => {
  const life = new Lifecycle(log, new ManualClock(0));
  const order: string[] = [];
  life.add('store', () => void order.push('store'));
  life.add('registry', () => Promise.reject(new TypeError('no')));
  life.add('listener', async () => void order.push('listener'));
  const first = life.stop('test');
  assert.equal(life.stop('again'), first);
  assert.equal(life.stopping, true);
  await first;
  assert.equal(life.signal.aborted, true);
  assert.deepEqual(order, ['listener', 'store']);
});

for (const [name, end] of [
  ['is refused', async () => fail('INTERNAL', 'no')],
  ['throws', () => Promise.reject(new TypeError('no'))],
] as const) {
  test(`a start that ${name} stops what had started`, async () => {
    const life = new Lifecycle(log, new ManualClock(0));
    const order: string[] = [];
    const started = life.start(async () => {
      life.add('store', () => void order.push('store'));
      return end();
    });
    await started.catch((thrown: unknown) => assert.ok(thrown instanceof TypeError));
    assert.deepEqual(order, ['store']);
  });
}

test('a start that succeeds stops nothing', async () => {
  const life = new Lifecycle(log, new ManualClock(0));
  assert.deepEqual(await life.start(async () => ok(1)), ok(1));
  assert.equal(life.stopping, false);
});

test('a part that is added while stopping is stopped at once', async () => {
  const life = new Lifecycle(log, new ManualClock(0));
  const stopping = life.stop('test');
  const { promise, resolve } = Promise.withResolvers<void>();
  life.add('late', resolve);
  await stopping;
  await promise;
});

test('stopping answers at its limit when a part hangs', async () => {
  const clock = new ManualClock(0);
  const life = new Lifecycle(log, clock);
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  life.add('hangs', () => {
    resolve();
    return new Promise(() => {});
  });
  const stopping = life.stop('test');
  await reached;
  clock.advance(STOP_LIMIT_MS);
  await stopping;
});

const CHILD = `
  const { watchLifeline } = await import(${JSON.stringify(new URL('./lifecycle.ts', import.meta.url).href)});
  watchLifeline(process.env, () => { process.stdout.write('gone'); process.exit(7); });
  process.stdout.write(String(process.env.SIGNET_LIFELINE_FD) + '\\n');
  setInterval(() => {}, 1e6);`;

test('the end of the lifeline is noticed, and its variable does not reach children', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', CHILD], {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    env: { ...process.env, SIGNET_LIFELINE_FD: '3' },
  });
  const [first] = await once(child.stdout!, 'data');
  assert.equal(String(first), 'undefined\n');
  (child.stdio[3] as import('node:net').Socket).destroy();
  const [code] = await once(child, 'exit');
  assert.equal(code, 7);
});

test('without the variable, or with nonsense in it, there is no lifeline', () => {
  for (const value of [undefined, '', '-1', '3x', '1234567']) {
    watchLifeline(value === undefined ? {} : { SIGNET_LIFELINE_FD: value }, () =>
      assert.fail('called'),
    )();
  }
});
