import { type Clock, systemClock } from '../base/clock.ts';
import { type Random, systemRandom } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { createHealth, type Health } from '../runtime/health.ts';
import { Lifecycle } from '../runtime/lifecycle.ts';
import { createLogger, type Logger } from '../runtime/log.ts';
import { createMetrics, type Metrics } from '../runtime/metrics.ts';
import { addProcessMetrics } from '../runtime/process-metrics.ts';
import { startTelemetry } from '../runtime/telemetry.ts';
import { formatDuration } from '../runtime/units.ts';
import { fixedChanges, type ServerConfig } from './config.ts';
import { startCore } from './core.ts';
import { judgeDpus } from './dpu-judge.ts';
import { startFederatedDomains } from './federated-domains.ts';
import { startFederation } from './federation.ts';
import { startListeners } from './listeners.ts';
import { LiveSettings } from './live-settings.ts';
import { startOidc } from './oidc/start.ts';
import { protectionOf } from './protection.ts';

/** What a server may be given in place of the machine's own; for tests. */
export interface ServerSurroundings {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Logger;
}

/** A server that answers. */
export interface RunningServer {
  /** Port of the TCP listener. */
  readonly port: number;
  readonly adminSocket: string;
  /** Port of the bundle endpoint; undefined when off. */
  readonly bundleEndpointPort: number | undefined;
  /** Port of OIDC discovery; undefined when off, or on a Unix socket. */
  readonly oidcPort: number | undefined;
  /** Port of /metrics, /live and /ready; undefined when off. */
  readonly telemetryPort: number | undefined;
  readonly health: Health;
  /**
   * Takes over what can be changed while running. Settings that need a restart refuse the whole with
   * CONFIG_NOT_RELOADABLE, which names them; the server goes on as it was.
   */
  reload(next: ServerConfig): Result<void>;
  /** Stops accepting, ends streams with UNAVAILABLE, closes everything; within 10 s. */
  stop(reason: string): Promise<void>;
}

/** What every part of the process shares. */
export interface ServerBase {
  readonly config: ServerConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly life: Lifecycle;
  readonly settings: LiveSettings;
}

/**
 * Starts a server: data directory, store, registry, keys, authorities, issuance, own SVID, both
 * listeners, telemetry, in this order. When a step fails, what had started is stopped again.
 */
export async function startServer(
  config: ServerConfig,
  surroundings: ServerSurroundings = {},
): Promise<Result<RunningServer>> {
  const { clock = systemClock, random = systemRandom } = surroundings;
  const log = surroundings.log ?? createLogger({ level: config.log.level });
  const metrics = createMetrics('signet_server');
  addProcessMetrics(metrics);
  const life = new Lifecycle(log, clock);
  const base: ServerBase = {
    config,
    clock,
    random,
    log,
    metrics,
    health: createHealth(),
    life,
    settings: new LiveSettings(config, clock),
  };
  return life.start(() => startParts(base));
}

async function startParts(base: ServerBase): Promise<Result<RunningServer>> {
  const { config, log, life } = base;
  const startedMs = base.clock.monotonicMs();
  const core = await startCore(base);
  if (!core.ok) return core;
  const dpu = await judgeDpus(base, core.value);
  if (!dpu.ok) return dpu;
  const federation = await startFederation(base, core.value);
  if (!federation.ok) return federation;
  startFederatedDomains(base, core.value, federation.value.fetcher);
  const listeners = await startListeners(base, core.value, {
    dpu: dpu.value,
    federation: federation.value,
  });
  if (!listeners.ok) return listeners;
  const oidc = await startOidc(base, core.value);
  if (!oidc.ok) return oidc;
  const extra = [core.value.ledger?.pages, core.value.crl?.pages].flatMap((pages) => pages ?? []);
  const telemetry = await startTelemetry(config.telemetry, { ...base, extra });
  if (!telemetry.ok) return telemetry;
  life.add('telemetry', () => telemetry.value.close());
  if (life.stopping) return fail('START_INTERRUPTED', 'told to stop while starting');
  const { port } = listeners.value;
  log.info(
    {
      trustDomain: config.trustDomain.name,
      address: config.listen.address,
      port,
      adminSocket: config.adminSocket.path,
      entries: core.value.registry.countEntries(),
      agents: core.value.registry.countAgents(),
      startMs: Math.round(base.clock.monotonicMs() - startedMs),
    },
    'server is ready',
  );
  warnOfLifetimes(base);
  return ok({
    port,
    adminSocket: config.adminSocket.path,
    bundleEndpointPort: federation.value.endpointPort,
    oidcPort: oidc.value?.port,
    telemetryPort: telemetry.value.port,
    health: base.health,
    reload(next) {
      core.value.ledger?.audit.reopen();
      // Its files may be what changed.
      void core.value.upstream?.poll();
      void dpu.value?.references.reload();
      void oidc.value?.reload();
      return reload(base, next);
    },
    stop: (reason) => life.stop(reason),
  });
}

function reload(base: ServerBase, next: ServerConfig): Result<void> {
  const { log, settings } = base;
  const fixed = fixedChanges(settings.config, next);
  if (fixed.length > 0) {
    return fail('CONFIG_NOT_RELOADABLE', `only a restart changes: ${fixed.join(', ')}`);
  }
  settings.apply(next);
  log.level = next.log.level;
  log.info('configuration reloaded');
  return ok(undefined);
}

/** A leaf gets its whole life only while what signs it has as much left, which is not always so. */
function warnOfLifetimes({ config, log }: ServerBase): void {
  const { x509, certainTtlSeconds, signerTtlSeconds } = protectionOf(config);
  const asked = Math.max(config.svid.x509Ttl, config.svid.agentTtl ?? 0);
  if (asked <= certainTtlSeconds) return;
  const advice =
    x509 === 'direct'
      ? 'ca.ttl should be six times as long'
      : 'ca.issuing.ttl should be twice as long';
  log.warn(
    { caTtl: formatDuration(signerTtlSeconds), svidTtl: formatDuration(asked) },
    `SVIDs may be cut short at the end of their CA: ${advice}`,
  );
}
