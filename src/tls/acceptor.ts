import type { Socket } from 'node:net';
import type { TLSSocket, Server as TlsServer } from 'node:tls';
import { toSignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import type { Result } from '../base/result.ts';
import type { LiveConnection } from '../rpc/connection.ts';
import type { RpcHost } from '../rpc/host.ts';
import { PeerCount } from '../rpc/peer-count.ts';
import { awaitPreface } from '../rpc/preface.ts';
import { createRateLimiter, type RateLimit, type RateLimiter } from '../rpc/rate-limiter.ts';
import type { Peer } from '../rpc/service.ts';
import { systemReason } from '../rpc/unix-path.ts';
import { addressKey, plainAddress } from './address-key.ts';
import type { ChainValidator, ValidatedPeer } from './identity.ts';
import { peerChain } from './secure-context.ts';

/** What an acceptor goes by. */
export interface TlsAcceptorOptions {
  readonly validateClient: ChainValidator;
  readonly maxConnectionAgeMs: number;
  readonly maxPendingHandshakes?: number;
  readonly maxPendingHandshakesPerAddress?: number;
  readonly anonymousLimit?: RateLimit;
  readonly random: Random;
}

/** Whether a connection goes on, and if not, the reason for metrics and log. */
type Admission = { readonly peer: Peer } | { readonly refused: string; readonly why?: string };

const MAX_PENDING_HANDSHAKES = 1024;
const MAX_PENDING_HANDSHAKES_PER_ADDRESS = 256;
/** Calls of a connection that has reached its age may go on for so long. */
const AGE_GRACE_MS = 60_000;

/**
 * Takes accepted sockets through TLS handshake, client certificate and HTTP/2 preface to the host.
 * A socket is `pending` until the host has it; it is counted against its address until it closes.
 */
export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions;
  readonly #host: RpcHost;
  readonly #tls: TlsServer;
  readonly #connections: PeerCount;
  readonly #handshakes: PeerCount;
  readonly #anonymous: RateLimiter | undefined;
  readonly #anonymousConnections: PeerCount | undefined;
  readonly #pending = new Set<Socket>();
  /** How to count a handshake out, by the client's address and port. */
  readonly #handshaking = new Map<string, () => void>();

  constructor(options: TlsAcceptorOptions, host: RpcHost, tls: TlsServer) {
    this.#options = options;
    this.#host = host;
    this.#tls = tls;
    const { maxConnections, maxConnectionsPerPeer, anonymous } = host.limits;
    this.#connections = new PeerCount(maxConnections, maxConnectionsPerPeer);
    this.#anonymousConnections =
      anonymous && new PeerCount(anonymous.maxConnections, anonymous.maxConnectionsPerPeer);
    this.#handshakes = new PeerCount(
      options.maxPendingHandshakes ?? MAX_PENDING_HANDSHAKES,
      options.maxPendingHandshakesPerAddress ?? MAX_PENDING_HANDSHAKES_PER_ADDRESS,
    );
    const limit = options.anonymousLimit;
    this.#anonymous = limit && createRateLimiter({ limit, clock: host.clock });
    tls.on('secureConnection', (socket) => this.#onSecure(socket));
    tls.on('tlsClientError', (error, socket) => {
      this.#handshaking.get(endpoint(socket))?.();
      this.#refuse(socket, 'handshake', systemReason(error));
    });
  }

  /** Takes a TCP connection. */
  accept(socket: Socket): void {
    // What went wrong is told by 'close'; an error without a listener would end the process.
    socket.on('error', () => {});
    const address = addressKey(socket.remoteAddress ?? '');
    if (!this.#connections.add(address)) {
      this.#refuse(socket, 'connection-limit');
    } else if (!this.#handshakes.add(address)) {
      this.#connections.remove(address);
      this.#refuse(socket, 'handshake-limit');
    } else this.#shakeHands(socket, address);
  }

  /** Destroys connections that no host knows yet. */
  dropPending(): void {
    for (const socket of this.#pending) socket.destroy();
  }

  #shakeHands(socket: Socket, address: string): void {
    const key = endpoint(socket);
    let counted = true;
    const done = (): void => {
      // A client that resets and comes again from the same port may be here twice for a moment.
      if (this.#handshaking.get(key) === done) this.#handshaking.delete(key);
      if (counted) this.#handshakes.remove(address);
      counted = false;
      // From here on the TLS socket stands for it: closing the listener must not cut it off.
      this.#pending.delete(socket);
    };
    this.#handshaking.set(key, done);
    this.#pending.add(socket);
    socket.once('close', () => {
      done();
      this.#connections.remove(address);
    });
    this.#tls.emit('connection', socket);
  }

  #onSecure(socket: TLSSocket): void {
    socket.on('error', () => {});
    this.#handshaking.get(endpoint(socket))?.();
    const remoteAddress = plainAddress(socket.remoteAddress ?? '');
    const admission = this.#judge(socket, remoteAddress);
    if ('refused' in admission) {
      this.#refuse(socket, admission.refused, admission.why);
      return;
    }
    this.#pending.add(socket);
    socket.once('close', () => this.#pending.delete(socket));
    awaitPreface({
      socket,
      clock: this.#host.clock,
      timeoutMs: this.#host.limits.handshakeTimeoutMs,
      onReady: () => this.#open(socket, remoteAddress, admission.peer),
      onTimeout: () => this.#count('too-slow'),
    });
  }

  #judge(socket: TLSSocket, remoteAddress: string): Admission {
    // grpc-go refuses servers without ALPN, and we clients without it.
    if (socket.alpnProtocol !== 'h2') return { refused: 'no-alpn' };
    const chainDer = peerChain(socket);
    if (chainDer.length > 0) {
      const valid = this.#validate(chainDer);
      if (valid.ok) return { peer: { kind: 'svid', ...valid.value } };
      const { code, message } = valid.error;
      return { refused: 'client-certificate', why: `${code}: ${message}` };
    }
    return this.#admitAnonymous(socket, addressKey(remoteAddress));
  }

  #admitAnonymous(socket: TLSSocket, address: string): Admission {
    if (this.#anonymous?.take(address) === false) return { refused: 'rate-limit' };
    const open = this.#anonymousConnections;
    if (open?.add(address) === false) return { refused: 'anonymous-limit' };
    socket.once('close', () => open?.remove(address));
    return { peer: { kind: 'anonymous' } };
  }

  /** An exception here would end the process: the socket's event has nobody to catch it. */
  #validate(chainDer: readonly Uint8Array[]): Result<ValidatedPeer> {
    try {
      return this.#options.validateClient(chainDer);
    } catch (thrown) {
      const error = toSignetError(thrown, 'validating a client certificate');
      this.#host.log.error({ listener: this.#host.name, err: thrown }, error.message);
      return { ok: false, error };
    }
  }

  #open(socket: TLSSocket, remoteAddress: string, peer: Peer): void {
    this.#pending.delete(socket);
    const countedAs = peer.kind === 'svid' ? peer.id.uri : addressKey(remoteAddress);
    const connection = this.#host.accept(socket, { remoteAddress, peer, countedAs });
    if (this.#options.maxConnectionAgeMs > 0) this.#limitAge(connection);
  }

  /** Ends the connection at its age, so that agents spread over servers; later while it is held. */
  #limitAge(connection: LiveConnection): void {
    const { maxConnectionAgeMs, random } = this.#options;
    const ageMs = maxConnectionAgeMs * (0.9 + 0.2 * randomFraction(random));
    const cancel = this.#host.clock.after(ageMs, () =>
      connection.whenUnheld(() => connection.drain(AGE_GRACE_MS)),
    );
    connection.onClose(cancel);
  }

  #refuse(socket: Socket, reason: string, why?: string): void {
    this.#count(reason);
    const facts = { listener: this.#host.name, remoteAddress: socket.remoteAddress, reason, why };
    if (reason === 'client-certificate') this.#host.log.warn(facts, 'connection refused');
    else this.#host.log.debug(facts, 'connection refused');
    socket.destroy();
  }

  #count(reason: string): void {
    this.#host.metrics.connectionRefused(this.#host.name, reason);
  }
}

function endpoint(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
