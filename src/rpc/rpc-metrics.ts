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
  /** A request was refused before anything was judged, with the reason. */
  requestRefused(listener: string, reason: string): void;
}

/** Registers the metrics of calls and connections; once for each process. */
export function createRpcMetrics(metrics: Metrics): RpcMetrics {
  const seconds = metrics.seconds('rpc_seconds', 'Seconds to the first answer of a call.', [
    'method',
  ]);
  const methods = keepMethodCounts(metrics);
  const connections = metrics.gauge('connections_open', 'Connections that are open now.', [
    'listener',
  ]);
  const refused = metrics.counter(
    'connections_refused_total',
    'Connections that were turned away or ended by us, by reason.',
    ['listener', 'reason'],
  );
  const requests = metrics.counter(
    'requests_refused_total',
    'Requests that were refused before they were whole, by reason.',
    ['listener', 'reason'],
  );
  return {
    callEnded(method, code) {
      const { ended } = methods(method);
      ended.set(code, (ended.get(code) ?? 0) + 1);
    },
    firstAnswer: (method, value) => seconds.observe({ method }, value),
    openCalls(method, step) {
      methods(method).open += step;
    },
    openConnections: (listener, step) => connections.inc({ listener }, step),
    requestRefused: (listener, reason) => requests.inc({ listener, reason }),
    connectionRefused: (listener, reason) => refused.inc({ listener, reason }),
  };
}

interface MethodCounts {
  open: number;
  /** By the name of the status. */
  readonly ended: Map<string, number>;
}

/** Methods are those that are served, so that callers cannot add any. */
function keepMethodCounts(metrics: Metrics): (method: string) => MethodCounts {
  const counts = new Map<string, MethodCounts>();
  metrics.kept('gauge', 'rpc_open_calls', 'Calls that are open now.', ['method'], () =>
    [...counts].map(([method, { open }]) => [{ method }, open] as const),
  );
  const help = 'Calls that ended, by method and status.';
  metrics.kept('counter', 'rpc_calls_total', help, ['method', 'code'], () =>
    [...counts].flatMap(([method, { ended }]) =>
      [...ended].map(([code, count]) => [{ method, code }, count] as const),
    ),
  );
  return (method) => {
    const known = counts.get(method);
    if (known !== undefined) return known;
    const made = { open: 0, ended: new Map<string, number>() };
    counts.set(method, made);
    return made;
  };
}
