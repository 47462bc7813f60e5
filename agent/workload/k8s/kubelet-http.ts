import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { isKubeObject, objectsAt } from '../../../src/kube/objects.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import { callHttp, type HttpAnswer } from '../../../src/runtime/http-call.ts';
import { type NodePod, podOfJson } from './node-pod.ts';
import type { Demand } from './pod-index.ts';
import type { PodSource } from './pod-sources.ts';

/** Least time between two polls, while somebody waits for a container. */
export const POLL_MS = 500;

/** Time between two polls while nobody waits: for labels that change and pods that go. */
export const IDLE_POLL_MS = 30_000;

const CALL_LIMIT_MS = 10_000;
const MAX_ANSWER_BYTES = 128 * 1024 * 1024;
const MAX_FILE_BYTES = 1024 * 1024;

/** What the source asks for. */
export interface KubeletHttpParts {
  /** Address of the kubelet. */
  readonly host: string;
  readonly port: number;
  /** Name in the kubelet's certificate, where it is not the address. */
  readonly serverName: string | undefined;
  /** PEM: what the kubelet's certificate leads to. There is no way around it. */
  readonly caPath: string;
  /** Read at each poll: tokens of service accounts are renewed in place. */
  readonly tokenPath: string;
  readonly clock: Clock;
}

/**
 * Pods by the kubelet's `/pods`, polled: often while somebody waits for a container, seldom otherwise.
 * One poll serves all who wait, and an answer equal to the last is not read.
 */
export function createKubeletHttpSource(parts: KubeletHttpParts): PodSource {
  return {
    name: 'kubelet',
    async run(sink, signal) {
      let last = '';
      for (;;) {
        const answer = await ask(parts, signal);
        if (!answer.ok) return answer.error;
        const digest = createHash('sha256').update(answer.value.bytes).digest('base64');
        if (digest !== last) {
          const pods = parsePods(answer.value.text);
          if (!pods.ok) return pods.error;
          sink.replace(pods.value);
          last = digest;
        }
        await untilNextPoll(parts.clock, sink.demand, signal);
      }
    },
  };
}

async function ask(parts: KubeletHttpParts, signal: AbortSignal): Promise<Result<HttpAnswer>> {
  const { host, port, serverName, caPath, tokenPath, clock } = parts;
  const [ca, token] = await Promise.all([textOf(caPath), textOf(tokenPath)]);
  if (!ca.ok) return ca;
  if (!token.ok) return token;
  const address = isIP(host) === 6 ? `[${host}]` : host;
  const url = new URL(`https://${address}:${port}/pods`);
  const late = new AbortController();
  const cancel = clock.after(CALL_LIMIT_MS, () => late.abort());
  try {
    const answer = await callHttp(url, {
      method: 'GET',
      headers: { authorization: `Bearer ${token.value.trim()}`, accept: 'application/json' },
      ca: ca.value,
      ...(serverName === undefined ? {} : { tls: { servername: serverName } }),
      maxAnswerBytes: MAX_ANSWER_BYTES,
      signal: AbortSignal.any([signal, late.signal]),
    });
    if (answer.status === 200) return ok(answer);
    return fail('AGENT_POD_SOURCE', `${url.href} answered ${answer.status}`);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'no answer';
    return fail('AGENT_POD_SOURCE', `${url.href}: ${why}`, { cause });
  } finally {
    cancel();
  }
}

async function textOf(path: string): Promise<Result<string>> {
  const bytes = await readFileIfPresent(path, MAX_FILE_BYTES);
  const text = bytes.ok ? Buffer.from(bytes.value ?? '').toString('utf8') : '';
  // Nor empty: for TLS an empty CA is none, and the roots of the system would count.
  if (text.trim() !== '') return ok(text);
  return fail('AGENT_POD_SOURCE', `${path} is absent, empty or cannot be read`);
}

/** Reads a list of pods. A list that cannot be read whole is no list: pods would be missing. */
function parsePods(text: string): Result<readonly NodePod[]> {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    return fail('AGENT_POD_SOURCE', 'the kubelet answered with what is no JSON', { cause });
  }
  if (!isKubeObject(list) || list.kind !== 'PodList') {
    return fail('AGENT_POD_SOURCE', 'the kubelet answered with what is no list of pods');
  }
  const pods = objectsAt(list, 'items').map(podOfJson);
  return ok(pods.filter((pod) => pod !== undefined));
}

/** Waits for the next poll: soon where somebody waits, late otherwise, not at all at the end. */
async function untilNextPoll(clock: Clock, demand: Demand, signal: AbortSignal): Promise<void> {
  await pause(clock, POLL_MS, signal);
  if (demand.waiting || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const release = demand.onWaiting(resolve);
  await Promise.race([promise, pause(clock, IDLE_POLL_MS - POLL_MS, signal)]);
  release();
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(ms, resolve);
  const onAbort = (): void => resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) resolve();
  await promise;
  cancel();
  signal.removeEventListener('abort', onAbort);
}
