import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { Settling } from './settling.ts';

/** Nothing here waits for the machine: what can go on has. */
const allThatIsReady = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Looks that each last until the test lets them end. */
function settling() {
  const clock = new ManualClock(0);
  const looks: (() => void)[] = [];
  let onLook = (): void => {};
  const one = new Settling(clock, () => {
    onLook();
    return new Promise((resolve) => looks.push(resolve));
  });
  /** Waits until a look begins. */
  const begun = (): Promise<void> =>
    new Promise((resolve) => {
      onLook = resolve;
    });
  const told = (): Promise<void> =>
    new Promise((resolve) => {
      const end = one.onChange(() => {
        end();
        resolve();
      });
    });
  return { one, clock, looks, begun, told };
}

test('what wakes it in the middle of a look is one more look, and each is told when it is over', async () => {
  const { one, looks, begun, told } = settling();
  const first = begun();
  for (let times = 0; times < 3; times++) one.wake();
  assert.equal(looks.length, 0, 'who wakes it has its turn to the end');
  await first;
  for (let times = 0; times < 3; times++) one.wake();
  const [ended, second] = [told(), begun()];
  looks[0]?.();
  await ended;
  await second;
  const last = told();
  looks[1]?.();
  await last;
  await one.stop([]);
  assert.equal(looks.length, 2);
});

test('what could not be done is looked at again in some seconds, once', async () => {
  const { one, clock, looks, begun, told } = settling();
  one.wakeLater();
  clock.advance(4_000);
  one.wakeLater();
  clock.advance(4_999);
  await allThatIsReady();
  assert.equal(looks.length, 0);
  const look = begun();
  clock.advance(1);
  await look;
  const ended = told();
  looks[0]?.();
  await ended;
  clock.advance(60_000);
  await one.stop([]);
  assert.equal(looks.length, 1);
});

test('stopped it waits for the look that runs, closes what feeds it, and begins none', async () => {
  const { one, clock, looks, begun } = settling();
  const look = begun();
  one.wake();
  await look;
  one.wake();
  one.wakeLater();
  const closed: string[] = [];
  const stop = async () => void closed.push('watch');
  const stopped = one.stop([{ stop }]).then(() => closed.push('over'));
  one.wake();
  clock.advance(60_000);
  await allThatIsReady();
  assert.deepEqual(closed, ['watch']);
  looks[0]?.();
  await stopped;
  assert.deepEqual([looks.length, closed, one.isStopped], [1, ['watch', 'over'], true]);
});
