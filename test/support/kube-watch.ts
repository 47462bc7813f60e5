import type { TestContext } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import type { KubeChange } from '../../src/kube/object-cache.ts';
import { textAt } from '../../src/kube/objects.ts';
import { PODS } from '../../src/kube/resource.ts';
import { type KubeWatch, type KubeWatchOptions, watchKube } from '../../src/kube/watch.ts';
import { type BusyKube, busyKube, moved } from './busy-kube.ts';
import { FakeKube } from './fake-kube.ts';
import { assertValue } from './refused.ts';

/** Where the pods of these tests are. */
export const COLLECTION = '/api/v1/pods';

/** A pod of the namespace `n` with a note in it, which is what the watch keeps. */
export function pod(name: string, note = '', uid?: string): object {
  const metadata = { name, namespace: 'n', ...(uid === undefined ? {} : { uid }) };
  return { metadata, spec: { nodeName: 'node-1', note } };
}

/** What one test has: the fake, a watch on it, and what that told. */
export interface WatchRig {
  readonly fake: FakeKube;
  readonly watch: KubeWatch<string>;
  readonly clock: ManualClock;
  readonly kube: BusyKube;
  readonly told: string[];
  readonly warnings: object[];
  /** Answers when a change was told that reads so. */
  heard(text: string): Promise<void>;
}

/** Starts a fake, and a watch on its pods. */
export async function watchRig(
  context: TestContext,
  {
    before = () => {},
    maxAnswerBytes,
    ...options
  }: Partial<KubeWatchOptions<string>> & {
    before?: (fake: FakeKube) => void;
    maxAnswerBytes?: number;
  } = {},
): Promise<WatchRig> {
  const fake = await FakeKube.start();
  const clock = new ManualClock(0);
  const { kubeconfigPath } = fake;
  const metrics = options.metrics;
  const kube = busyKube(
    assertValue(await openKubeApi({ kubeconfigPath }, { clock, metrics, maxAnswerBytes })),
  );
  before(fake);
  const warnings: object[] = [];
  const told: string[] = [];
  const waiting = new Map<string, () => void>();
  const watch = watchKube<string>({
    api: kube.api,
    resource: PODS,
    project: (object) => textAt(object, 'spec', 'note'),
    clock,
    random: seededRandom(3),
    log: { info: () => {}, warn: (fields: object) => void warnings.push(fields) },
    ...options,
  });
  watch.onChange((change) => {
    const text = textOf(change);
    told.push(text);
    waiting.get(text)?.();
  });
  context.after(async () => {
    await watch.stop();
    kube.api.close();
    await fake.stop();
  });
  const heard = (text: string): Promise<void> => {
    if (told.includes(text)) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.set(text, resolve);
    return promise;
  };
  return { fake, watch, clock, kube, told, warnings, heard };
}

function textOf(change: KubeChange<string>): string {
  if (change.kind === 'synced') return 'synced';
  if (change.kind === 'delete') return `-${change.key} ${change.before}`;
  return `+${change.key} ${change.before === undefined ? '' : `${change.before}>`}${change.value}`;
}

/** Moves the clock as often as the watch waits for it, until the promise is kept. */
export async function until(rig: WatchRig, promise: Promise<unknown>): Promise<void> {
  let kept = false;
  const keeping = promise.then(() => {
    kept = true;
  });
  await moved(rig, () => kept, 1000);
  await keeping;
}

/** Answers when no watch is open any more. */
export async function unwatched(fake: FakeKube): Promise<void> {
  while (fake.watching > 0) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** How often the fake was asked for a list. */
export function listsOf({ calls }: FakeKube): number {
  return calls.filter(({ query }) => !query.has('watch')).length;
}
