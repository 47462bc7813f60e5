import type { Duplex } from 'node:stream';
import type { Server } from '@grpc/grpc-js';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { LiveConnection } from './connection.ts';
import type { RpcLimits } from './limits.ts';
import type { RpcMetrics } from './rpc-metrics.ts';
import type { CallGuard, Handlers, Peer, ServiceShape } from './service.ts';

/** What a host needs. */
export interface RpcHostOptions {
  /** Name of the listener in logs and metrics, such as `workload`. */
  readonly name: string;
  readonly log: Logger;
  readonly metrics: RpcMetrics;
  readonly clock: Clock;
  readonly limits: RpcLimits;
  /** Judge every call of services that bring no guards of their own, in order. */
  readonly guards: readonly CallGuard[];
}

/** A transport that a listener accepted. */
export interface Accepted {
  readonly remoteAddress: string;
  readonly peer: Peer;
}

/** The services of one listener. */
export interface RpcHost {
  readonly name: string;
  readonly limits: RpcLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: RpcMetrics;
  /** Serves a generated service definition. `guards` replaces the host's for this service. */
  addService<S extends ServiceShape>(
    service: S,
    handlers: Handlers<S>,
    guards?: readonly CallGuard[],
  ): void;
  /** Lets a library register services of its own; they run without guards. */
  mount(register: (server: Pick<Server, 'addService'>) => void): void;
  /** Serves gRPC on a transport until it ends. */
  accept(transport: Duplex, accepted: Accepted): LiveConnection;
  /** Open connections. */
  readonly connectionCount: number;
  /**
   * Ends every open call with UNAVAILABLE, refuses new ones, lets the answers leave for `graceMs`
   * milliseconds, then destroys what is still open. Resolves when nothing is.
   */
  shutdown(graceMs: number): Promise<void>;
}

/** Serves typed handlers on transports that listeners hand in. */
export declare function createRpcHost(options: RpcHostOptions): RpcHost;
