import type { Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { Connection, PeerProcess } from '../../src/rpc/service.ts';
import type { WorkloadAttestor } from './attestor.ts';

/** A process whose facts are known. */
export interface Workload {
  readonly process: PeerProcess;
  /** `type:value`, sorted, none twice. */
  readonly selectors: readonly string[];
  /** One text for one set of selectors: the key of what is shared by equal workloads. */
  readonly key: string;
  /** Whether the process is still what its selectors say: it may have changed its uid or program. */
  readonly holds: () => boolean;
}

/** What one attestation came to, for log and metrics. */
export interface AttestationOutcome {
  readonly process: PeerProcess;
  readonly seconds: number;
  /** Why it failed. */
  readonly error: SignetError | undefined;
}

/** What attesting needs. */
export interface AttestationParts {
  /** All must succeed. */
  readonly attestors: readonly WorkloadAttestor[];
  readonly clock: Clock;
  readonly onOutcome: (outcome: AttestationOutcome) => void;
}

/** Longest that attesting a process may take. */
const ATTESTATION_LIMIT_MS = 10_000;

const ATTESTED = Symbol('attested workload');

/** The words that clients know; why it failed is in the agent's log only. */
const FAILED = 'workload attestation failed';

/**
 * Who is at the other end of a connection. The facts are learnt once per connection and calls that
 * come meanwhile share the work; that the process still lives, and still is what it was, is asked each
 * time: one that has taken another uid or program since is looked at anew (E3). A failure is not
 * kept: the next call tries again. Fails with WORKLOAD_ATTESTATION_FAILED.
 */
export function createWorkloadAttestation(
  parts: AttestationParts,
): (connection: Connection) => Promise<Result<Workload>> {
  return async (connection) => {
    const work = attestOnce(parts, connection);
    const kept = await work;
    if (kept.ok && isAlive(kept.value)) return kept;
    forget(connection, work);
    if (!kept.ok) return kept;
    const again = attestOnce(parts, connection);
    const anew = await again;
    if (anew.ok && isAlive(anew.value)) return anew;
    forget(connection, again);
    return anew.ok ? fail('WORKLOAD_ATTESTATION_FAILED', FAILED) : anew;
  };
}

/** The attestation of a connection that is done or under way, or else a new one. */
function attestOnce(parts: AttestationParts, connection: Connection): Promise<Result<Workload>> {
  // The cast holds: only this module has the symbol.
  const known = connection.memo.get(ATTESTED) as Promise<Result<Workload>> | undefined;
  if (known !== undefined) return known;
  const work = attestConnection(parts, connection);
  connection.memo.set(ATTESTED, work);
  return work;
}

/** Lets the next call attest anew, unless another one has begun to already. */
function forget(connection: Connection, work: Promise<Result<Workload>>): void {
  if (connection.memo.get(ATTESTED) === work) connection.memo.delete(ATTESTED);
}

/**
 * Whether the very process that was attested still lives and is what it was: asked before everything
 * it is handed.
 */
export function isAlive(workload: Workload): boolean {
  return workload.process.isAlive() && workload.holds();
}

/** A workload from its process and selectors. */
export function makeWorkload(
  process: PeerProcess,
  selectors: readonly string[],
  holds: () => boolean = () => true,
): Workload {
  const sorted = [...new Set(selectors)].sort();
  // A newline could make two sets one: the parts are prefixed by their length.
  const key = sorted.map((selector) => `${selector.length}:${selector}`).join('');
  return { process, selectors: sorted, key, holds };
}

async function attestConnection(
  parts: AttestationParts,
  connection: Connection,
): Promise<Result<Workload>> {
  if (connection.peer.kind !== 'process') return fail('WORKLOAD_ATTESTATION_FAILED', FAILED);
  const { process } = connection.peer;
  const startedMs = parts.clock.monotonicMs();
  const workload = await attestProcess(parts, process);
  parts.onOutcome({
    process,
    seconds: (parts.clock.monotonicMs() - startedMs) / 1000,
    error: workload.ok ? undefined : workload.error,
  });
  if (workload.ok) return workload;
  return fail('WORKLOAD_ATTESTATION_FAILED', FAILED, { cause: workload.error });
}

async function attestProcess(
  parts: AttestationParts,
  process: PeerProcess,
): Promise<Result<Workload>> {
  if (process.pid <= 0) {
    return fail(
      'AGENT_PROCESS_UNREADABLE',
      'the calling process is outside the PID namespace of the agent: run the agent in that of the host (hostPID: true in Kubernetes, --pid=host with an engine)',
    );
  }
  if (!process.isAlive()) return gone(process);
  const found = await withinLimit(
    parts.clock,
    Promise.all(parts.attestors.map((attestor) => guarded(attestor, process))),
  );
  if (!found.ok) return found;
  const selectors: string[] = [];
  for (const answer of found.value) {
    if (!answer.ok) return answer;
    selectors.push(...answer.value);
  }
  const holds = (): boolean => parts.attestors.every((one) => one.holds(process, selectors));
  // Alive now means alive throughout: what was read under its pid is about it (E2).
  if (!process.isAlive()) return gone(process);
  // It may have run another program between two readings, and the facts are of both (E3).
  if (holds()) return ok(makeWorkload(process, selectors, holds));
  return fail('AGENT_PROCESS_UNREADABLE', `process ${process.pid} changed while it was looked at`);
}

function gone(process: PeerProcess): Result<never> {
  return fail('AGENT_PROCESS_UNREADABLE', `process ${process.pid} has exited`);
}

async function guarded(
  attestor: WorkloadAttestor,
  process: PeerProcess,
): Promise<Result<readonly string[]>> {
  try {
    return await attestor.attest(process);
  } catch (error) {
    return fail('INTERNAL', `attestor ${attestor.name} failed`, { cause: error });
  }
}

async function withinLimit<T>(clock: Clock, work: Promise<T>): Promise<Result<T>> {
  const { promise: late, resolve } = Promise.withResolvers<Result<T>>();
  const cancel = clock.after(ATTESTATION_LIMIT_MS, () =>
    resolve(fail('AGENT_PROCESS_UNREADABLE', 'attesting a process took too long')),
  );
  try {
    return await Promise.race([work.then((value) => ok(value)), late]);
  } finally {
    cancel();
  }
}
