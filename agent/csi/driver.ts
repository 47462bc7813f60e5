import type { Clock } from '../../src/base/clock.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { IdentityService, NodeService } from '../../src/gen/csi/csi.ts';
import { RegistrationService } from '../../src/gen/kubelet/registration.ts';
import { createRpcHost, type RpcHost } from '../../src/rpc/host.ts';
import { ADMIN_LIMITS } from '../../src/rpc/limits.ts';
import { createRpcMetrics, type RpcMetrics } from '../../src/rpc/rpc-metrics.ts';
import { listenUnix } from '../../src/rpc/unix-listener.ts';
import { createHealth, type Health } from '../../src/runtime/health.ts';
import { Lifecycle } from '../../src/runtime/lifecycle.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { addProcessMetrics } from '../../src/runtime/process-metrics.ts';
import { startTelemetry, type TelemetryConfig } from '../../src/runtime/telemetry.ts';
import { loadKernel } from './kernel.ts';
import { createCsiMetrics } from './metrics.ts';
import { createIdentityService, createNodeService, createRegistration } from './services.ts';
import { type CsiPaths, type CsiSettings, csiPaths } from './settings.ts';
import { createSocketMounts } from './socket-mounts.ts';

/** Time that answers under way have at the end, in milliseconds. */
const SHUTDOWN_GRACE_MS = 2000;

/** What a driver needs. */
export interface CsiParts {
  readonly settings: CsiSettings;
  readonly telemetry: TelemetryConfig;
  readonly log: Logger;
  readonly clock: Clock;
  /** Told to the kubelet, at most 128 bytes. */
  readonly version: string;
}

/** A driver that listens. */
export interface RunningDriver {
  readonly paths: CsiPaths;
  readonly telemetryPort: number | undefined;
  /** `ready` once the kubelet has taken the driver. */
  readonly health: Health;
  /** Stops listening. What is mounted stays: pods go on with it. */
  stop(reason: string): Promise<void>;
}

/**
 * Starts the driver: its socket first, then the one that the kubelet finds. A process of its own, since
 * it needs CAP_SYS_ADMIN, which the agent, with its keys and its network, does not; and neither ends
 * with the other.
 */
export async function startDriver(parts: CsiParts): Promise<Result<RunningDriver>> {
  const life = new Lifecycle(parts.log, parts.clock);
  return life.start(() => startIn(parts, life));
}

async function startIn(parts: CsiParts, life: Lifecycle): Promise<Result<RunningDriver>> {
  const { settings, log, version } = parts;
  const paths = csiPaths(settings);
  if (!paths.ok) return paths;
  const kernel = await loadKernel();
  if (!kernel.ok) return kernel;
  const { socketDir, driverName, nodeId } = settings;
  const mounts = createSocketMounts({
    kernel: kernel.value,
    socketDir,
    podsDir: paths.value.pods,
  });
  const health = createHealth();
  const part = health.part('registration', 'the kubelet has not taken the driver yet');
  const metrics = createMetrics('signet_csi');
  addProcessMetrics(metrics);
  const listeners = { parts, life, metrics: createRpcMetrics(metrics) };
  const node = { nodeId, mounts, log, metrics: createCsiMetrics(metrics, { mounts, health }) };
  const served = await serve(listeners, 'csi', paths.value.endpoint, (host) => {
    host.addService(IdentityService, createIdentityService({ driverName, version, mounts }));
    host.addService(NodeService, createNodeService(node));
  });
  if (!served.ok) return served;
  const { endpoint } = paths.value;
  const found = await serve(listeners, 'registration', paths.value.registration, (host) => {
    host.addService(RegistrationService, createRegistration({ driverName, endpoint, part, log }));
  });
  if (!found.ok) return found;
  const telemetry = await startTelemetry(parts.telemetry, { metrics, health, log });
  if (!telemetry.ok) return telemetry;
  life.add('telemetry', () => telemetry.value.close());
  log.info({ driver: driverName, nodeId, socketDir, endpoint }, 'driver has started');
  return ok({
    paths: paths.value,
    telemetryPort: telemetry.value.port,
    health,
    stop: (reason) => life.stop(reason),
  });
}

interface Listeners {
  readonly parts: CsiParts;
  readonly life: Lifecycle;
  readonly metrics: RpcMetrics;
}

/** Opens a socket for root alone: who may call could mount. */
async function serve(
  { parts, life, metrics }: Listeners,
  name: string,
  path: string,
  addServices: (host: RpcHost) => void,
): Promise<Result<void>> {
  const { clock, log } = parts;
  const child = log.child({ listener: name });
  const host = createRpcHost({
    name,
    log: child,
    metrics,
    clock,
    limits: ADMIN_LIMITS,
    guards: [],
  });
  addServices(host);
  const listener = await listenUnix({ path, mode: 0o600, folderMode: 0o750 }, host);
  if (!listener.ok) return listener;
  life.add(`${name} socket`, async () => {
    await listener.value.close();
    await host.shutdown(SHUTDOWN_GRACE_MS);
  });
  return ok(undefined);
}
