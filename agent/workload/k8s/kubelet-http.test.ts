import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Clock, ManualClock } from '../../../src/base/clock.ts';
import { fakeKubelet } from '../../../test/support/fake-kubelet.ts';
import { containerId, nodePod, podJson } from '../../../test/support/node-pods.ts';
import { makeRoot } from '../../../test/support/x509.ts';
import { createKubeletHttpSource, IDLE_POLL_MS, POLL_MS } from './kubelet-http.ts';
import { PodIndex } from './pod-index.ts';
import type { PodSink } from './pod-sources.ts';

const LIST = JSON.stringify({ kind: 'PodList', items: [podJson(nodePod())] });

/** A fake kubelet, and the parts of a source that asks it. */
async function setUp(
  context: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  names?: readonly string[],
) {
  const calls: IncomingMessage[] = [];
  const { folder, ...place } = await fakeKubelet(
    context,
    (request, response) => {
      calls.push(request);
      answer(request, response);
    },
    names,
  );
  const clock = new ManualClock(0);
  return { calls, folder, place: { ...place, host: '127.0.0.1', serverName: 'node-a', clock } };
}

/** Counts replacements, and waits for them. */
function listener() {
  const index = new PodIndex();
  let replaced = 0;
  let wake = (): void => {};
  const sink: PodSink = {
    replace: (pods) => {
      index.replace(pods);
      replaced += 1;
      wake();
    },
    put: () => {},
    remove: () => {},
    problem: () => {},
    demand: index,
  };
  const first = new Promise<void>((resolve) => {
    wake = resolve;
  });
  return { sink, index, first, count: () => replaced };
}

const forever = () => new AbortController().signal;

describe("the kubelet's /pods", () => {
  test('is asked with the token, over TLS that leads to the CA', async (context) => {
    const { calls, place } = await setUp(context, (_, response) => response.end(LIST));
    const { sink, index, first } = listener();
    const stop = new AbortController();
    const run = createKubeletHttpSource(place).run(sink, stop.signal);
    await first;
    assert.equal(index.claims(containerId('a'))[0]?.pod.name, 'web-0');
    assert.equal(calls[0]?.url, '/pods');
    assert.equal(calls[0]?.headers.authorization, 'Bearer first');
    stop.abort();
    assert.equal((await run).code, 'AGENT_POD_SOURCE');
  });

  test('is not believed where its certificate leads elsewhere', async (context) => {
    const { place, folder, calls } = await setUp(context, (_, response) => response.end(LIST));
    const caPath = join(folder, 'other.crt');
    writeFileSync(caPath, makeRoot().pem);
    const { sink, count } = listener();
    const error = await createKubeletHttpSource({ ...place, caPath }).run(sink, forever());
    assert.equal(error.code, 'AGENT_POD_SOURCE');
    assert.equal(count(), 0);
    assert.equal(calls.length, 0, 'and gets no token');
  });

  test('is not believed where its certificate is of another node', async (context) => {
    const { place, calls } = await setUp(context, (_, response) => response.end(LIST), ['node-b']);
    const error = await createKubeletHttpSource(place).run(listener().sink, forever());
    assert.equal(error.code, 'AGENT_POD_SOURCE');
    assert.equal(calls.length, 0);
  });

  const answers: readonly [string, (response: ServerResponse) => void][] = [
    ['403', (response) => response.writeHead(403).end(LIST)],
    ['no JSON', (response) => response.end('<html>')],
    ['no list', (response) => response.end('{"kind":"Status"}')],
    ['half an answer', (response) => response.writeHead(200, { 'content-length': '9' }).write('{')],
  ];
  for (const [name, answer] of answers) {
    test(`is given up for ${name}`, async (context) => {
      const { place } = await setUp(context, (_, response) => {
        answer(response);
        if (name === 'half an answer') setImmediate(() => response.destroy());
      });
      const { sink, count } = listener();
      const error = await createKubeletHttpSource(place).run(sink, forever());
      assert.equal(error.code, 'AGENT_POD_SOURCE');
      assert.equal(count(), 0);
    });
  }

  for (const file of ['caPath', 'tokenPath'] as const) {
    test(`is not asked without ${file}`, async (context) => {
      const { place, calls } = await setUp(context, (_, response) => response.end(LIST));
      const without = { ...place, [file]: `${place[file]}-absent` };
      const error = await createKubeletHttpSource(without).run(listener().sink, forever());
      assert.match(error.message, /-absent is absent/);
      assert.equal(calls.length, 0);
    });

    test(`is not asked with an empty ${file}`, async (context) => {
      const { place, calls } = await setUp(context, (_, response) => response.end(LIST));
      writeFileSync(place[file], '\n');
      const error = await createKubeletHttpSource(place).run(listener().sink, forever());
      assert.match(error.message, /is absent/);
      assert.equal(calls.length, 0);
    });
  }

  /** What the source waits for, in milliseconds: the clock moves only when it waits for nothing else. */
  function waits(clock: ManualClock) {
    const begun: number[] = [];
    let wake = (): void => {};
    const noting: Clock = {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after(delayMs, action) {
        begun.push(delayMs);
        wake();
        return clock.after(delayMs, action);
      },
    };
    const until = async (delayMs: number, times: number): Promise<void> => {
      while (begun.filter((one) => one === delayMs).length < times) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    return { noting, until };
  }

  test('is asked again with the token of then, and an equal answer is not read', async (context) => {
    const { calls, place } = await setUp(context, (_, response) => response.end(LIST));
    const { noting, until } = waits(place.clock);
    const { sink, count } = listener();
    const stop = new AbortController();
    const run = createKubeletHttpSource({ ...place, clock: noting }).run(sink, stop.signal);
    await until(POLL_MS, 1);
    place.clock.advance(POLL_MS);
    await until(IDLE_POLL_MS - POLL_MS, 1);
    writeFileSync(place.tokenPath, 'second');
    place.clock.advance(IDLE_POLL_MS - POLL_MS);
    await until(POLL_MS, 2);
    assert.deepEqual(
      calls.map(({ headers }) => headers.authorization),
      ['Bearer first', 'Bearer second'],
    );
    assert.equal(count(), 1);
    stop.abort();
    await run;
  });

  test('is asked soon for all who wait together, and seldom for nobody', async (context) => {
    const { calls, place } = await setUp(context, (_, response) => response.end(LIST));
    const { clock } = place;
    const { noting, until } = waits(clock);
    const { sink, index } = listener();
    const stop = new AbortController();
    const run = createKubeletHttpSource({ ...place, clock: noting }).run(sink, stop.signal);
    await until(POLL_MS, 1);
    clock.advance(POLL_MS);
    await until(IDLE_POLL_MS - POLL_MS, 1);
    const waiting = ['c', 'd', 'e'].map((digit) => index.wait(containerId(digit), 10_000, clock));
    await until(POLL_MS, 2);
    assert.equal(calls.length, 2, 'one poll for the three, at once');
    clock.advance(POLL_MS);
    await until(POLL_MS, 3);
    assert.equal(calls.length, 3, 'and the next not sooner');
    clock.advance(10_000);
    await Promise.all(waiting);
    stop.abort();
    await run;
  });
});
