import type { Clock } from '../../../src/base/clock.ts';
import { SignetError } from '../../../src/base/errors.ts';
import type { Random } from '../../../src/base/random.ts';
import type { Result } from '../../../src/base/result.ts';
import type { KubeApi } from '../../../src/kube/kube-api.ts';
import { PODS } from '../../../src/kube/resource.ts';
import { type KubeWatch, watchKube } from '../../../src/kube/watch.ts';
import type { Logger } from '../../../src/runtime/log.ts';
import { type NodePod, podOfJson } from './node-pod.ts';
import type { PodSink, PodSource } from './pod-sources.ts';

/** How often it is asked whether the watch hears of changes. */
const LOOK_MS = 2000;

/** What the source asks for. */
export interface ApiServerParts {
  readonly open: () => Promise<Result<KubeApi>>;
  /** Pods of this node only are asked for. */
  readonly nodeName: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Pods by a watch of the API server: pushed, but lost with the control plane. */
export function createApiServerSource(parts: ApiServerParts): PodSource {
  return {
    name: 'api-server',
    async run(sink, signal) {
      const api = await parts.open();
      if (!api.ok) return api.error;
      const watch = watchKube<NodePod>({
        api: api.value,
        resource: PODS,
        fieldSelector: `spec.nodeName=${parts.nodeName}`,
        project: podOfJson,
        clock: parts.clock,
        random: parts.random,
        log: parts.log,
      });
      try {
        return await follow(watch, sink, { clock: parts.clock, signal });
      } finally {
        await watch.stop();
        api.value.close();
      }
    },
  };
}

async function follow(
  watch: KubeWatch<NodePod>,
  sink: PodSink,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<SignetError> {
  const { promise: ended, resolve: end } = Promise.withResolvers<SignetError>();
  const onAbort = (): void =>
    end(new SignetError('AGENT_POD_SOURCE', 'the API server is no longer asked'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  watch.onChange((change) => {
    if (change.kind === 'synced') sink.replace([...watch.entries()].map(([, pod]) => pod));
    else if (!watch.synced) return;
    else if (change.kind === 'put') sink.put(change.value);
    else sink.remove(change.uid);
  });
  let cancel = (): void => {};
  const look = (): void => {
    const { problem } = watch;
    if (watch.synced) sink.problem(problem);
    else if (problem !== undefined) end(problem);
    cancel = clock.after(LOOK_MS, look);
  };
  look();
  const error = await ended;
  cancel();
  signal.removeEventListener('abort', onAbort);
  return error;
}
