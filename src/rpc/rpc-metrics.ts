import type { Metrics } from '../runtime/metrics.ts';

/** What the listeners and hosts of one process count; made once and shared. */
export interface RpcMetrics {
  /** A call ended, with its gRPC status name. */
  callEnded(method: string, status: string): void;
  /** Seconds from a call's start to its first answer, or to its end without one. */
  firstAnswer(method: string, seconds: number): void;
  /** Calls that are open now, up or down by one. */
  openCalls(method: string, step: 1 | -1): void;
  /** Connections that are open now, up or down by one. */
  openConnections(listener: string, step: 1 | -1): void;
  /** A connection was turned away or ended by us, with the reason. */
  connectionRefused(listener: string, reason: string): void;
}

/** Registers the metrics of calls and connections; once for each process. */
export function createRpcMetrics(metrics: Metrics): RpcMetrics {
  const calls = metrics.counter('rpc_calls_total', 'Calls that ended, by method and status.', [
    'method',
    'code',
  ]);
  const seconds = metrics.seconds('rpc_seconds', 'Seconds to the first answer of a call.', [
    'method',
  ]);
  const open = metrics.gauge('rpc_open_calls', 'Calls that are open now.', ['method']);
  const connections = metrics.gauge('connections_open', 'Connections that are open now.', [
    'listener',
  ]);
  const refused = metrics.counter(
    'connections_refused_total',
    'Connections that were turned away or ended by us, by reason.',
    ['listener', 'reason'],
  );
  return {
    callEnded: (method, code) => calls.inc({ method, code }),
    firstAnswer: (method, value) => seconds.observe({ method }, value),
    openCalls: (method, step) => open.inc({ method }, step),
    openConnections: (listener, step) => connections.inc({ listener }, step),
    connectionRefused: (listener, reason) => refused.inc({ listener, reason }),
  };
}
