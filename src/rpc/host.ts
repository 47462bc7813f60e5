import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type ConnectionInjector,
  type Server,
  ServerCredentials,
  setLogger,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Clock } from '../base/clock.ts';
import { GRPC_STATUS } from '../base/errors/define.ts';
import { SignetError } from '../base/errors.ts';
import type { Logger } from '../runtime/log.ts';
import type { OpenCall } from './call.ts';
import { LiveConnection } from './connection.ts';
import { createGrpcServer, namingCredentials } from './grpc-server.ts';
import type { CallLimits, RpcLimits } from './limits.ts';
import { type MethodHost, type WireCall, wireDefinition, wireHandler } from './methods.ts';
import { createRequestWait } from './request-wait.ts';
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
  /** Who the peer is where callers are limited one by one: a uid, a SPIFFE ID, an address. */
  readonly countedAs: string;
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
export function createRpcHost(options: RpcHostOptions): RpcHost {
  quietLibrary(options.log);
  return new Host(options);
}

/**
 * Sends what grpc-js says of callers to our log, for the whole process: on its own it prints their
 * metadata to stderr as they sent it. Values come after a colon and are left out.
 */
function quietLibrary(log: Logger): void {
  const say = (text: unknown): void =>
    log.debug(
      { library: 'grpc-js', text: String(text).split(':', 1)[0]?.slice(0, 200) },
      'library',
    );
  setLogger({ error: say, info: say, debug: say });
}

const STATUS_NAMES = new Map<number, string>(
  Object.entries(GRPC_STATUS).map(([name, number]) => [number, name]),
);

/**
 * A call knows its connection by a key that `getPeer` answers: an own `remoteAddress` on native
 * sockets, an interceptor elsewhere. Nothing that the caller sends takes part in it.
 */
class Host implements RpcHost, MethodHost {
  readonly name: string;
  readonly limits: RpcLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: RpcMetrics;
  readonly stalledWriteMs: number;
  readonly #guards: readonly CallGuard[];
  readonly #server: Server;
  /** Serves anonymous callers: grpc-js has one limit of message length for all of a server. */
  readonly #anonymousServer: Server;
  readonly #credentials = ServerCredentials.createInsecure();
  readonly #connections = new Map<string, LiveConnection>();
  readonly #calls = new Set<OpenCall>();
  #shared: ConnectionInjector | undefined;
  #nextId = 0;
  #stopping: SignetError | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(options: RpcHostOptions) {
    this.name = options.name;
    this.limits = options.limits;
    this.clock = options.clock;
    this.log = options.log;
    this.metrics = options.metrics;
    this.stalledWriteMs = options.limits.stalledWriteMs;
    this.#guards = options.guards;
    const { limits } = options;
    this.#server = this.#createServer(limits);
    this.#anonymousServer = limits.anonymous ? this.#createServer(limits.anonymous) : this.#server;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  addService<S extends ServiceShape>(
    service: S,
    handlers: Handlers<S>,
    guards: readonly CallGuard[] = this.#guards,
  ): void {
    const implementation: UntypedServiceImplementation = {};
    for (const [name, method] of Object.entries(service)) {
      if (typeof handlers[name] !== 'function')
        throw new TypeError(`${method.path} has no handler`);
      implementation[name] = wireHandler(this, method, handlers[name], guards);
    }
    const definition = wireDefinition(service);
    for (const server of this.#servers()) server.addService(definition, implementation);
  }

  mount(register: (server: Pick<Server, 'addService'>) => void): void {
    for (const server of this.#servers()) register(server);
  }

  accept(transport: Duplex, accepted: Accepted): LiveConnection {
    const id = `${this.name}-${++this.#nextId}`;
    const injector = this.#injectorFor(transport, accepted, id);
    const connection = new LiveConnection({
      id,
      ...accepted,
      destroy: () => transport.destroy(),
      drain: (graceMs) => {
        if (injector !== this.#shared) injector.drain(graceMs);
        else this.clock.after(graceMs, () => transport.destroy());
      },
    });
    this.#connections.set(id, connection);
    this.metrics.openConnections(this.name, 1);
    transport.on('error', (cause) =>
      this.log.debug({ connection: id, cause: String(cause) }, 'connection failed'),
    );
    transport.once('close', () => {
      if (injector !== this.#shared) injector.destroy();
      this.#ended(connection);
    });
    if (this.#stopping !== undefined || transport.destroyed) transport.destroy();
    else injector.injectConnection(transport);
    return connection;
  }

  async shutdown(graceMs: number): Promise<void> {
    this.#stopping ??= new SignetError('SERVER_STOPPING', 'shutting down');
    for (const call of [...this.#calls]) call.stop(this.#stopping);
    this.#shared?.drain(graceMs);
    for (const connection of this.#connections.values()) connection.drain(graceMs);
    if (this.#connections.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    // Callers that read nothing keep their sockets open whatever HTTP/2 says.
    const cancel = this.clock.after(graceMs, () => {
      for (const connection of this.#connections.values()) connection.close();
    });
    await promise;
    cancel();
  }

  connectionOf(call: WireCall): LiveConnection | undefined {
    return this.#connectionAt(call.getPeer());
  }

  #servers(): ReadonlySet<Server> {
    return new Set([this.#server, this.#anonymousServer]);
  }

  #createServer(calls: CallLimits): Server {
    const requests = createRequestWait({
      clock: this.clock,
      limits: calls,
      peerOf: (key) => this.#connectionAt(key)?.countedAs,
      onLate: (key) => this.#onLate(key),
      onTooManyBytes: () => this.metrics.requestRefused(this.name, 'too-many-bytes'),
      onRefused: (method) => this.metrics.callEnded(method, 'ResourceExhausted'),
    });
    return createGrpcServer(this.limits, calls, requests.interceptor);
  }

  #connectionAt(peer: string): LiveConnection | undefined {
    // TLS sockets append their port.
    const colon = peer.indexOf(':');
    return this.#connections.get(colon === -1 ? peer : peer.slice(0, colon));
  }

  opened(call: OpenCall): SignetError | undefined {
    this.#calls.add(call);
    this.metrics.openCalls(call.method, 1);
    return this.#stopping;
  }

  answered(call: OpenCall): void {
    this.metrics.firstAnswer(call.method, (this.clock.monotonicMs() - call.startedMs) / 1000);
  }

  ended(call: OpenCall, error: SignetError | undefined): void {
    this.#calls.delete(call);
    this.metrics.openCalls(call.method, -1);
    this.metrics.callEnded(call.method, STATUS_NAMES.get(error?.status ?? 0) ?? 'Unknown');
    if (error === undefined) return;
    const facts = { method: call.method, connection: call.connection.id, code: error.code };
    if (error.code === 'INTERNAL') this.log.error({ ...facts, err: error.cause }, error.message);
    else this.log.debug({ ...facts, ...error.details }, error.message);
  }

  #injectorFor(transport: Duplex, { peer }: Accepted, id: string): ConnectionInjector {
    const server = peer.kind === 'anonymous' ? this.#anonymousServer : this.#server;
    if (!(transport instanceof Socket)) {
      return server.createConnectionInjector(namingCredentials(this.#credentials, id));
    }
    Object.defineProperty(transport, 'remoteAddress', { value: id });
    // Its own injector, so that GOAWAY can be sent to this connection alone.
    if (peer.kind !== 'process') return server.createConnectionInjector(this.#credentials);
    this.#shared ??= server.createConnectionInjector(this.#credentials);
    return this.#shared;
  }

  #onLate(peer: string): void {
    this.metrics.connectionRefused(this.name, 'too-slow');
    this.#connectionAt(peer)?.close();
  }

  #ended(connection: LiveConnection): void {
    this.#connections.delete(connection.id);
    this.metrics.openConnections(this.name, -1);
    connection.ended();
    if (this.#connections.size === 0) this.#onEmpty?.();
  }
}
