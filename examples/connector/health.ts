import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Segment } from './wire.ts';

/** As the protocol's SegmentHealth. */
export interface TargetState {
  readonly segmentId: string;
  readonly target: string;
  readonly health: 'TARGET_HEALTH_UP' | 'TARGET_HEALTH_DOWN';
  readonly latencyMs: number;
  readonly error: string;
}

const TIMEOUT_MS = 5000;
/** Checks at one time. */
const AT_ONCE = 20;

interface Due {
  readonly segment: Segment;
  readonly host: string;
  readonly port: number;
}

/** Looks whether targets are up, and tells what has changed. */
export class HealthChecks {
  readonly #report: (changes: readonly TargetState[]) => void;
  readonly #known = new Map<string, TargetState>();
  readonly #lastMs = new Map<string, number>();
  readonly #busy = new Set<string>();

  constructor(report: (changes: readonly TargetState[]) => void) {
    this.#report = report;
  }

  /** All that is known: for a session that begins. */
  known(): readonly TargetState[] {
    return [...this.#known.values()];
  }

  /** Forgets segments that are gone, and says of UDP ones that nothing goes through here. */
  follow(segments: readonly Segment[]): void {
    const ids = new Set(segments.map(({ id }) => id));
    for (const [key, { segmentId }] of this.#known)
      if (!ids.has(segmentId)) this.#known.delete(key);
    for (const segment of segments.filter(({ protocol }) => protocol === 'PROTOCOL_UDP')) {
      const target = `${segment.hosts[0]}:${segment.ports[0]?.first}`;
      this.note(segment.id, target, 0, 'this connector forwards TCP only');
    }
  }

  /** Starts what is due. Called about once a second. */
  tick(segments: readonly Segment[], nowMs: number): void {
    for (const segment of segments) {
      const everyMs = Math.max(segment.healthCheckIntervalSeconds, 1) * 1000;
      for (const due of targetsOf(segment)) {
        const key = `${segment.id} ${due.host}:${due.port}`;
        if (this.#busy.size >= AT_ONCE) return;
        if (this.#busy.has(key) || nowMs - (this.#lastMs.get(key) ?? 0) < everyMs) continue;
        this.#lastMs.set(key, nowMs);
        this.#busy.add(key);
        void this.#check(due).finally(() => this.#busy.delete(key));
      }
    }
  }

  /** What was seen of a target, by a check or by a flow; undefined as error is up. */
  note(segmentId: string, target: string, latencyMs: number, error: string | undefined): void {
    const health = error === undefined ? 'TARGET_HEALTH_UP' : 'TARGET_HEALTH_DOWN';
    const key = `${segmentId} ${target}`;
    const known = this.#known.get(key)?.health;
    const state: TargetState = { segmentId, target, health, latencyMs, error: error ?? '' };
    this.#known.set(key, state);
    if (known !== health) this.#report([state]);
  }

  async #check({ segment, host, port }: Due): Promise<void> {
    const startMs = performance.now();
    const probe = segment.healthCheck === 'HEALTH_CHECK_KIND_HTTP' ? probeHttp : probeTcp;
    const error = await probe(host, port, segment.healthCheckPath).then(
      () => undefined,
      (problem: unknown) => (problem instanceof Error ? problem.message : String(problem)),
    );
    this.note(segment.id, `${host}:${port}`, Math.round(performance.now() - startMs), error);
  }
}

/** Exact hosts on the first port: nobody can tell what is behind a wildcard or in a block. */
function targetsOf(segment: Segment): readonly Due[] {
  const checked = ['HEALTH_CHECK_KIND_TCP', 'HEALTH_CHECK_KIND_HTTP'].includes(segment.healthCheck);
  const port = segment.ports[0]?.first;
  if (!checked || port === undefined || segment.protocol !== 'PROTOCOL_TCP') return [];
  return segment.hosts
    .filter((host) => !host.startsWith('*.') && !host.includes('/'))
    .map((host) => ({ segment, host, port }));
}

async function probeTcp(host: string, port: number): Promise<void> {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } finally {
    socket.destroy();
  }
}

async function probeHttp(host: string, port: number, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const call = request({ host, port, path: path === '' ? '/' : path, signal, agent: false });
  call.on('response', (answer) => {
    answer.destroy();
    const { statusCode = 0 } = answer;
    if (statusCode >= 400) reject(new TypeError(`HTTP ${statusCode}`));
    else resolve();
  });
  call.on('error', reject);
  // One that goes over to another protocol ends without either.
  call.on('close', () => reject(new TypeError('it ended without an answer')));
  call.end();
  return promise;
}
