import { type Clock, systemClock } from '../src/base/clock.ts';
import type { SignetError } from '../src/base/errors.ts';
import { type Random, systemRandom } from '../src/base/random.ts';
import { ok, type Result } from '../src/base/result.ts';
import { createHealth, type Health } from '../src/runtime/health.ts';
import { Lifecycle } from '../src/runtime/lifecycle.ts';
import { createLogger, type Logger } from '../src/runtime/log.ts';
import { createMetrics, type Metrics } from '../src/runtime/metrics.ts';
import { addProcessMetrics } from '../src/runtime/process-metrics.ts';
import { startTelemetry } from '../src/runtime/telemetry.ts';
import type { AgentConfig } from './config.ts';
import { type AgentCore, createCore } from './core.ts';
import { createReadyGate } from './endpoints/ready-gate.ts';
import { createStreamLimits, type StreamLimits } from './endpoints/stream-limits.ts';
import { createWorkloadApi } from './endpoints/workload-api.ts';
import { type AgentMetrics, addAgentReadings, createAgentMetrics } from './metrics.ts';
import { createThrottle } from './throttle.ts';
import { startVouchers } from './voucher/start.ts';
import { createWorkloadAttestation } from './workload/attestation.ts';
import type { WorkloadAttestor } from './workload/attestor.ts';
import { openWorkloadAttestors } from './workload/choose.ts';
import { openWorkloadSocket } from './workload-socket.ts';

/** What an agent may be given in place of the machine's own. */
export interface AgentSurroundings {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Logger;
  /** Told to the server, at most 255 bytes. */
  readonly version?: string;
}

/** An agent whose socket is open. */
export interface RunningAgent {
  readonly workloadSocket: string;
  /** Port of /metrics, /live and /ready; undefined when off. */
  readonly telemetryPort: number | undefined;
  /** `ready` once the first synchronisation is complete. */
  readonly health: Health;
  /** Resolves when the agent cannot go on: banned, or not attested. It still has to be stopped. */
  readonly ended: Promise<SignetError>;
  /** Ends streams with UNAVAILABLE and closes everything; within 10 s. */
  stop(reason: string): Promise<void>;
}

/** What every part of the process shares. */
export interface AgentBase {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly life: Lifecycle;
  readonly version: string;
}

/**
 * Starts an agent: data directory, then the socket, which holds its callers, then attestation and
 * synchronisation. Answers when the socket is open; when a step fails, what had started is stopped.
 */
export async function startAgent(
  config: AgentConfig,
  surroundings: AgentSurroundings = {},
): Promise<Result<RunningAgent>> {
  const { clock = systemClock, random = systemRandom, version = 'signet' } = surroundings;
  const log = surroundings.log ?? createLogger({ level: config.log.level });
  const metrics = createMetrics('signet_agent');
  addProcessMetrics(metrics);
  const life = new Lifecycle(log, clock);
  const base = { config, clock, random, log, metrics, health: createHealth(), life, version };
  return life.start(() => startParts(base));
}

async function startParts(base: AgentBase): Promise<Result<RunningAgent>> {
  const { config, log, health, life } = base;
  const { promise: ended, resolve: onEnd } = Promise.withResolvers<SignetError>();
  const metrics = createAgentMetrics(base.metrics);
  const core = await createCore(base, { metrics, onEnd });
  if (!core.ok) return core;
  const limits = createStreamLimits(config.limits);
  const attestors = await openWorkloadAttestors(base);
  const api = workloadApi(base, core.value, { metrics, limits, attestors });
  const socket = await openWorkloadSocket(base, api);
  if (!socket.ok) return socket;
  const vouchers = await startVouchers(base, core.value);
  if (!vouchers.ok) return vouchers;
  followReadiness(base, core.value);
  const begun = core.value.start();
  if (!begun.ok) return begun;
  addAgentReadings(base.metrics, {
    ...core.value,
    limits,
    clock: base.clock,
    ownSvidEndMs: () => core.value.standing.svid?.notAfterMs,
  });
  const telemetry = await startTelemetry(config.telemetry, base);
  if (!telemetry.ok) return telemetry;
  life.add('telemetry', () => telemetry.value.close());
  const { path } = config.workloadSocket;
  log.info({ trustDomain: config.trustDomain.name, workloadSocket: path }, 'agent has started');
  return ok({
    workloadSocket: path,
    telemetryPort: telemetry.value.port,
    health,
    ended,
    stop: (reason) => life.stop(reason),
  });
}

interface WorkloadApiParts {
  readonly metrics: AgentMetrics;
  readonly limits: StreamLimits;
  readonly attestors: readonly WorkloadAttestor[];
}

function workloadApi(
  base: AgentBase,
  { identities }: AgentCore,
  { metrics, limits, attestors }: WorkloadApiParts,
): ReturnType<typeof createWorkloadApi> {
  const { config, clock, log } = base;
  const throttle = createThrottle(clock, 1000);
  return createWorkloadApi({
    identities,
    attest: createWorkloadAttestation({
      attestors,
      clock,
      onOutcome: (outcome) => {
        metrics.attested(outcome);
        if (outcome.error === undefined) return;
        const { code, message } = outcome.error;
        // Callers can cause these at will: the metric counts them all, the log shows some.
        if (throttle())
          log.info({ pid: outcome.process.pid, code, reason: message }, 'workload not attested');
      },
    }),
    ready: createReadyGate(identities, clock, config.startupGrace * 1000),
    limits,
    allowUnauthenticatedVerifiers: config.allowUnauthenticatedVerifiers,
    validation: {
      trustDomain: config.trustDomain,
      clock,
      allowedForeignClaims: new Set(config.allowedForeignJwtClaims),
    },
  });
}

function followReadiness({ health, log, clock }: AgentBase, { identities }: AgentCore): void {
  const part = health.part('synchronisation', 'not synchronised with the server yet');
  const startedMs = clock.monotonicMs();
  identities.whenReady(() => {
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    log.info({ entries: identities.entryCount, tookMs }, 'agent is ready');
    part.ready();
  });
}
