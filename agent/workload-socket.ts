import { ok, type Result } from '../src/base/result.ts';
import { SpiffeWorkloadAPIService } from '../src/gen/workload.ts';
import { createHealthBoard } from '../src/rpc/health.ts';
import { createRpcHost } from '../src/rpc/host.ts';
import { listenerLimitsOf } from '../src/rpc/limit-settings.ts';
import type { RpcLimits } from '../src/rpc/limits.ts';
import { serveReflection } from '../src/rpc/reflection.ts';
import { createRpcMetrics } from '../src/rpc/rpc-metrics.ts';
import type { Handlers } from '../src/rpc/service.ts';
import { listenUnix } from '../src/rpc/unix-listener.ts';
import type { AgentBase } from './agent.ts';
import type { AgentConfig } from './config.ts';
import { requireSecurityHeader } from './endpoints/security-header.ts';

/** Time that streams have to send their last words at the end, in milliseconds. */
const SHUTDOWN_GRACE_MS = 2000;

/** What reflection shows (WEP-18). */
const REFLECTED = ['SpiffeWorkloadAPI', 'grpc.health.v1.Health'] as const;

/**
 * Opens the Workload API socket: the API itself behind the security header, health and reflection
 * without it. At the end every stream is told Unavailable (WLAPI-38).
 */
export async function openWorkloadSocket(
  base: AgentBase,
  handlers: Handlers<SpiffeWorkloadAPIService>,
): Promise<Result<void>> {
  const { config, log, clock, metrics, health, life } = base;
  const host = createRpcHost({
    name: 'workload',
    log: log.child({ listener: 'workload' }),
    metrics: createRpcMetrics(metrics),
    clock,
    limits: socketLimits(config),
    guards: [],
  });
  const board = createHealthBoard();
  const tell = (): void => board.set('', health.report('ready').ok);
  host.addService(SpiffeWorkloadAPIService, handlers, [requireSecurityHeader]);
  board.serveOn(host);
  serveReflection(host, REFLECTED);
  const { path, mode } = config.workloadSocket;
  const listener = await listenUnix({ path, mode, folderMode: 0o755 }, host);
  if (!listener.ok) return listener;
  life.add('health watchers', health.onChange(tell));
  life.add('workload socket', async () => {
    await listener.value.close();
    await host.shutdown(SHUTDOWN_GRACE_MS);
  });
  return ok(undefined);
}

/** Twice the streams of a connection: one over the limit is to be refused, not left waiting. */
function socketLimits({ limits }: AgentConfig): RpcLimits {
  return {
    ...listenerLimitsOf(limits),
    maxConnections: limits.connections,
    maxConnectionsPerPeer: limits.connectionsPerUid,
    maxStreamsPerConnection: 2 * limits.streamsPerConnection,
  };
}
