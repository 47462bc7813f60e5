import assert from 'node:assert/strict';
import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { ok } from '../../../src/base/result.ts';
import { Pod } from '../../../src/gen/kubelet/pod.ts';
import { EventType, PodsService, type WatchPodsEvent } from '../../../src/gen/kubelet/pods.ts';
import type { ResponseStream } from '../../../src/rpc/service.ts';
import { serveUnix, temporaryFolder, testHost, untilAborted } from '../../../test/support/rpc.ts';
import { createKubeletSocketSource } from './kubelet-socket.ts';
import type { NodePod } from './node-pod.ts';
import { PodIndex } from './pod-index.ts';
import type { PodSink } from './pod-sources.ts';

function podBytes(uid: string, labels: Record<string, string> = {}): Buffer {
  const metadata = { name: uid, namespace: 'n', uid, labels, annotations: {}, ownerReferences: [] };
  return Buffer.from(Pod.encode({ metadata, spec: undefined, status: undefined }).finish());
}

const added = (uid: string) => ({ type: EventType.ADDED, pod: podBytes(uid) });
const SYNCED = { type: EventType.INITIAL_SYNC_COMPLETE, pod: Buffer.alloc(0) };

/** What a source told, and a way to wait for it. */
function listener() {
  const told: string[] = [];
  let wake = (): void => {};
  const tell = (line: string): void => {
    told.push(line);
    wake();
  };
  const uids = (pods: readonly NodePod[]): string => pods.map(({ uid }) => uid).join();
  const sink: PodSink = {
    replace: (pods) => tell(`replace ${uids(pods)}`),
    put: ({ uid, labels }) => tell(`put ${uid} ${JSON.stringify(labels)}`),
    remove: (uid) => tell(`remove ${uid}`),
    problem: () => {},
    demand: new PodIndex(),
  };
  const until = async (count: number): Promise<readonly string[]> => {
    while (told.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return told;
  };
  return { sink, told, until };
}

/** A fake of the kubelet's pods API that sends what the test gives it, then waits for the caller to go. */
async function fakeKubelet(context: TestContext, events: readonly WatchPodsEvent[], after?: 'end') {
  const host = testHost();
  const streams: ResponseStream<WatchPodsEvent>[] = [];
  host.addService(PodsService, {
    watchPods: async (_, stream, call) => {
      streams.push(stream);
      for (const event of events) stream.write(event);
      if (after !== 'end') await untilAborted(call);
      return ok(undefined);
    },
  });
  const { address: path } = await serveUnix(context, host);
  const source = createKubeletSocketSource({ socketPath: path, clock: systemClock });
  return { source, streams };
}

describe("the kubelet's pods API", () => {
  test('tells all pods at once, then each change', async (context) => {
    const { source, streams } = await fakeKubelet(context, [added('p'), added('q'), SYNCED]);
    const { sink, until } = listener();
    const stop = new AbortController();
    const run = source.run(sink, stop.signal);
    assert.deepEqual(await until(1), ['replace p,q']);
    streams[0]?.write({ type: EventType.MODIFIED, pod: podBytes('p', { a: 'b' }) });
    streams[0]?.write({ type: EventType.DELETED, pod: podBytes('q') });
    assert.deepEqual((await until(3)).slice(1), ['put p [["a","b"]]', 'remove q']);
    stop.abort();
    assert.equal((await run).code, 'AGENT_POD_SOURCE');
  });

  test('that ends before all pods were told has told none', async (context) => {
    const { source } = await fakeKubelet(context, [added('p')], 'end');
    const { sink, told } = listener();
    assert.equal((await source.run(sink, new AbortController().signal)).code, 'AGENT_POD_SOURCE');
    assert.deepEqual(told, []);
  });

  test('is given up for a pod that cannot be read', async (context) => {
    const bad = { type: EventType.ADDED, pod: Buffer.from([0xff]) };
    const { source } = await fakeKubelet(context, [bad, SYNCED]);
    const { sink } = listener();
    const error = await source.run(sink, new AbortController().signal);
    assert.match(error.message, /is not understood/);
  });

  test('is not asked where its socket is absent or no socket', async (context) => {
    const path = join(temporaryFolder(context), 'file');
    writeFileSync(path, '');
    for (const socketPath of [path, `${path}-absent`]) {
      const source = createKubeletSocketSource({ socketPath, clock: systemClock });
      const { sink } = listener();
      const error = await source.run(sink, new AbortController().signal);
      assert.match(error.message, /no socket|ENOENT/);
    }
  });

  const rooted = { skip: process.getuid?.() === 0 ? false : 'only root gives files away' };
  test('is not asked where the socket belongs to a user', rooted, async (context) => {
    const host = testHost();
    const { address: path } = await serveUnix(context, host);
    chownSync(path, 65_534, 65_534);
    const source = createKubeletSocketSource({ socketPath: path, clock: systemClock });
    const error = await source.run(listener().sink, new AbortController().signal);
    assert.match(error.message, /belongs to uid 65534/);
  });
});
