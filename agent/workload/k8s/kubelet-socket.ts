import { type ClientReadableStream, Metadata } from '@grpc/grpc-js';
import type { Clock } from '../../../src/base/clock.ts';
import { SignetError } from '../../../src/base/errors.ts';
import { EventType, PodsClient, type WatchPodsEvent } from '../../../src/gen/kubelet/pods.ts';
import { openUnixChannel } from '../../../src/rpc/channel.ts';
import { checkSocketOwner } from '../root-socket.ts';
import { type NodePod, podOfBytes } from './node-pod.ts';
import type { PodSink, PodSource } from './pod-sources.ts';

/** Longest that the kubelet may take to tell the pods there are. */
const SYNC_LIMIT_MS = 10_000;

/** Longest event: etcd takes objects of 1.5 MiB, and the status is beside. */
const MAX_EVENT_BYTES = 8 * 1024 * 1024;

/** What the source asks for. */
export interface KubeletSocketParts {
  readonly socketPath: string;
  readonly clock: Clock;
}

/**
 * Pods by the kubelet's own API on a Unix socket: pushed, without the control plane, without
 * credentials. In their place stands that the socket is root's, or of the agent's own user.
 */
export function createKubeletSocketSource(parts: KubeletSocketParts): PodSource {
  return {
    name: 'kubelet-socket',
    async run(sink, signal) {
      const owner = checkSocketOwner(parts.socketPath, 'AGENT_POD_SOURCE');
      if (!owner.ok) return owner.error;
      const channel = openUnixChannel(parts.socketPath, { maxReceiveBytes: MAX_EVENT_BYTES });
      try {
        const stream = channel.client(PodsClient).watchPods({}, new Metadata());
        return await follow(stream, sink, { clock: parts.clock, signal });
      } finally {
        channel.close();
      }
    },
  };
}

function follow(
  stream: ClientReadableStream<WatchPodsEvent>,
  sink: PodSink,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<SignetError> {
  const { promise, resolve } = Promise.withResolvers<SignetError>();
  const end = (why: string, cause?: unknown): void =>
    resolve(new SignetError('AGENT_POD_SOURCE', `the pods API of the kubelet ${why}`, { cause }));
  const cancelLimit = clock.after(SYNC_LIMIT_MS, () => end('does not tell its pods'));
  const onAbort = (): void => end('is no longer asked');
  signal.addEventListener('abort', onAbort, { once: true });
  // Until the first sync pods are gathered: an index of half the pods would refuse the others.
  let gathered: NodePod[] | undefined = [];
  stream.on('data', (event: WatchPodsEvent) => {
    if (signal.aborted) return;
    if (event.type === EventType.INITIAL_SYNC_COMPLETE) {
      cancelLimit();
      sink.replace(gathered ?? []);
      gathered = undefined;
      return;
    }
    const pod = podOfBytes(event.pod);
    if (!pod.ok) end(`is not understood: ${pod.error.message}`);
    else if (event.type === EventType.DELETED) sink.remove(pod.value.uid);
    else if (gathered === undefined) sink.put(pod.value);
    else gathered.push(pod.value);
  });
  stream.on('error', (error: Error) => end(`failed: ${error.message}`, error));
  stream.on('end', () => end('ended its watch'));
  return promise.finally(() => {
    cancelLimit();
    signal.removeEventListener('abort', onAbort);
    stream.cancel();
  });
}
