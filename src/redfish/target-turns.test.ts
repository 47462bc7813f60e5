import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fail, ok, type Result } from '../base/result.ts';
import { TargetTurns } from './target-turns.ts';

const forever = new AbortController().signal;

/** Work that ends when told. */
function work(result: Result<number> = ok(1)) {
  const { promise, resolve } = Promise.withResolvers<Result<number>>();
  const state = { begun: false, end: () => resolve(result) };
  const run = (): Promise<Result<number>> => {
    state.begun = true;
    return promise;
  };
  return { state, run };
}

const codeOf = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

test('work at one target is done one after another, in the order of asking', async () => {
  const turns = new TargetTurns();
  const works = [work(), work(fail('REDFISH_FAULT', 'x')), work()];
  const taken = works.map(({ run }) => turns.take('a', forever, run));
  for (const [at, { state }] of works.entries()) {
    assert.deepEqual(
      works.map((each) => each.state.begun),
      works.map((_, index) => index <= at),
    );
    state.end();
    await taken[at];
    await new Promise(setImmediate);
  }
  assert.equal(turns.busy, 0);
});

test('work at two targets is done side by side', () => {
  const turns = new TargetTurns();
  const [one, other] = [work(), work()];
  void turns.take('a', forever, one.run);
  void turns.take('b', forever, other.run);
  assert.ok(one.state.begun && other.state.begun);
  assert.equal(turns.busy, 2);
});

test('work that throws lets the next in', async () => {
  const turns = new TargetTurns();
  const failing = turns.take('a', forever, () => Promise.reject(new TypeError('planted')));
  const next = turns.take('a', forever, () => Promise.resolve(ok(2)));
  await assert.rejects(failing, TypeError);
  assert.equal(codeOf(await next), 'ok');
});

test('as many wait as may, and one more is REDFISH_QUEUE_FULL', async () => {
  const turns = new TargetTurns(2);
  const first = work();
  const taken = [first.run, work().run, work().run].map((run) => turns.take('a', forever, run));
  assert.equal(codeOf(await turns.take('a', forever, work().run)), 'REDFISH_QUEUE_FULL');
  first.state.end();
  assert.equal(codeOf(await (taken[0] as Promise<Result<number>>)), 'ok');
});

test('who stops waiting leaves the line, and those behind move up', async () => {
  const turns = new TargetTurns();
  const controller = new AbortController();
  const [first, second, third] = [work(), work(), work()];
  const one = turns.take('a', forever, first.run);
  const two = turns.take('a', controller.signal, second.run);
  const three = turns.take('a', forever, third.run);
  controller.abort();
  assert.equal(codeOf(await two), 'REDFISH_QUEUE_FULL');
  first.state.end();
  await one;
  third.state.end();
  assert.equal(codeOf(await three), 'ok');
  assert.equal(second.state.begun, false);
  assert.equal(turns.busy, 0);
});
