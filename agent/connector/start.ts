import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { type Random, systemRandom } from '../../src/base/random.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { openDataDir } from '../../src/runtime/data-dir.ts';
import { createHealth, type Health } from '../../src/runtime/health.ts';
import { Lifecycle } from '../../src/runtime/lifecycle.ts';
import { createLogger, type Logger } from '../../src/runtime/log.ts';
import { createMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { addProcessMetrics } from '../../src/runtime/process-metrics.ts';
import { startTelemetry } from '../../src/runtime/telemetry.ts';
import { openBoundKey, publicKeyPem } from './bound-key.ts';
import { boundKeyPath } from './bound-key-path.ts';
import { Companion } from './companion.ts';
import type { ConnectorConfig } from './config.ts';
import type { DrainOutcome } from './drain.ts';
import { openLocalApi } from './local-api.ts';
import { SegmentSet, segmentsDocument } from './segments.ts';
import { openConnectorState, openStoredSegments } from './state.ts';
import { startVendorWatch } from './vendor-watch.ts';
import type { ConnectorWatcher } from './watcher.ts';

/** What a companion may be given in place of the machine's own. */
export interface CompanionSurroundings {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Logger;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Told to the server. */
  readonly version?: string;
  readonly watcher?: ConnectorWatcher;
}

/** A companion whose local socket is open. */
export interface RunningCompanion {
  /** Port of /metrics, /live and /ready; undefined when off. */
  readonly telemetryPort: number | undefined;
  readonly health: Health;
  readonly metrics: Metrics;
  /** Resolves when the connector was revoked. It still has to be stopped. */
  readonly ended: Promise<SignetError>;
  /** Drains and says Goodbye; nothing is opened again. */
  leave(timeoutMs?: number): Promise<DrainOutcome>;
  /** Ends everything. */
  stop(reason: string): Promise<void>;
}

/**
 * Starts a companion: data directory, local socket, then enrolment and session, which go on in the
 * background. When a step fails, what had started is stopped.
 */
export async function startCompanion(
  config: ConnectorConfig,
  surroundings: CompanionSurroundings = {},
): Promise<Result<RunningCompanion>> {
  const { clock = systemClock, random = systemRandom, env = process.env } = surroundings;
  const { version = 'signet', watcher } = surroundings;
  const log = surroundings.log ?? createLogger({ level: config.log.level });
  const metrics = createMetrics('signet_connector');
  addProcessMetrics(metrics);
  const life = new Lifecycle(log, clock);
  const base = { config, clock, random, log, metrics, health: createHealth(), env, version };
  return life.start(() => startParts({ ...base, watcher, life }));
}

interface Base {
  readonly config: ConnectorConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly watcher: ConnectorWatcher | undefined;
  readonly life: Lifecycle;
}

async function startParts(base: Base): Promise<Result<RunningCompanion>> {
  const { config, life, health, metrics, log } = base;
  const directory = await openDataDir(config.dataDir);
  if (!directory.ok) return directory;
  life.add('data directory', () => directory.value.release());
  const key = await announceBoundKey(base);
  if (!key.ok) return key;
  const owner = { trustDomain: config.trustDomain.name, group: config.group };
  const state = await openConnectorState(directory.value.path, owner);
  if (!state.ok) return state;
  const stored = await openStoredSegments(directory.value.path);
  if (!stored.ok) return stored;
  const segments = SegmentSet.restore(stored.value);
  if (!segments.ok) return segments;
  const vendor = await startVendorWatch(base);
  if (!vendor.ok) return vendor;
  const watcher = base.watcher ?? vendor.value?.watcher;
  const companion = new Companion({
    ...base,
    watcher,
    state: state.value,
    segments: segments.value,
  });
  const local = await serveLocal(base, companion, segments.value);
  if (!local.ok) return local;
  const telemetry = await startTelemetry(config.telemetry, base);
  if (!telemetry.ok) return telemetry;
  life.add('telemetry', () => telemetry.value.close());
  const begun = companion.start();
  if (!begun.ok) return begun;
  // Stopped after the companion, which ends its waiting for an SVID.
  vendor.value?.provision(() => companion.vendorKey());
  life.add('companion', () => companion.stop());
  log.info({ group: config.group, localSocket: config.local.path }, 'companion has started');
  return ok({
    telemetryPort: telemetry.value.port,
    health,
    metrics,
    ended: companion.ended,
    leave: (timeoutMs) => companion.leave(timeoutMs),
    stop: (reason) => life.stop(reason),
  });
}

async function serveLocal(
  { config, clock, health, life }: Base,
  companion: Companion,
  segments: SegmentSet,
): Promise<Result<void>> {
  const local = await openLocalApi({
    settings: config.local,
    clock,
    health: (kind) => health.report(kind),
    status: () => companion.status(),
    segments: () => ({
      version: segments.version,
      document: () => segmentsDocument(segments, config.group),
    }),
    onSegments: (listener) => companion.onSegments(listener),
    drain: (timeoutMs) => companion.leave(timeoutMs),
  });
  if (!local.ok) return local;
  life.add('local socket', () => local.value.close());
  return ok(undefined);
}

/** A bound key that is not registered yet has to be seen: its public half is logged at each start. */
async function announceBoundKey({ config, log }: Base): Promise<Result<void>> {
  if (config.enrol.method !== 'bound-key') return ok(undefined);
  const key = await openBoundKey(boundKeyPath(config), config.enrol.makeBoundKey);
  if (!key.ok) return key;
  log.info({ publicKey: publicKeyPem(key.value) }, 'bound key; register this public key');
  return ok(undefined);
}
