import { chmodSync, chownSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { fail, ok, type Result } from '../base/result.ts';
import { openFront } from './authority/front.ts';
import type { RpcHost } from './host.ts';
import { PeerCount } from './peer-count.ts';
import {
  type HeldPeerProcess,
  loadPeerSyscalls,
  type PeerSyscalls,
  peerProcessOf,
} from './peer-process.ts';
import { claimSocketPath, systemReason } from './unix-path.ts';

/** Where and how a Unix socket is opened. */
export interface UnixListenerOptions {
  /** Absolute path, at most 107 bytes. */
  readonly path: string;
  /** Permission bits of the socket, such as 0o600. */
  readonly mode: number;
  /** Permission bits of its folder, when the folder is made here. */
  readonly folderMode: number;
  /** Group that the socket is given, with its folder when the folder is made here. */
  readonly groupId?: number;
  /** How the kernel is asked; given by tests only. */
  readonly syscalls?: PeerSyscalls;
}

/** An open listener. */
export interface Listener {
  /** The socket's path, or `address:port`. */
  readonly address: string;
  /** Stops accepting and removes the socket; open connections go on until the host's shutdown. */
  close(): Promise<void>;
}

/** Connections that the kernel may hold until they are accepted. */
const BACKLOG = 1024;

/**
 * Opens a Unix socket and serves a host on it. A path held by a live process is SOCKET_IN_USE; what
 * a dead one left is replaced; anything else at the path is refused.
 */
export async function listenUnix(
  options: UnixListenerOptions,
  host: RpcHost,
): Promise<Result<Listener>> {
  const syscalls = options.syscalls ? ok(options.syscalls) : await loadPeerSyscalls();
  if (!syscalls.ok) return syscalls;
  const claimed = await claimSocketPath(options);
  if (!claimed.ok) return claimed;
  const acceptor = new Acceptor(host, syscalls.value);
  // With half-open sockets half of them were never closed.
  const server = createServer({ allowHalfOpen: false }, (socket) => acceptor.accept(socket));
  const bound = await bind(server, options);
  if (!bound.ok) return bound;
  server.on('error', (cause) => host.log.error({ listener: host.name, err: cause }, 'listener'));
  const close = async (): Promise<void> => {
    acceptor.dropPending();
    // Closing waits for open connections; the host ends those, so nobody waits here.
    server.close();
  };
  return ok({ address: options.path, close });
}

function bind(server: Server, options: UnixListenerOptions): Promise<Result<void>> {
  const { path, mode, groupId } = options;
  return new Promise((resolve) => {
    const refuse = (cause: unknown): void => {
      const reason = systemReason(cause);
      server.close();
      if (reason === 'EADDRINUSE') {
        resolve(fail('SOCKET_IN_USE', `${path} was taken by another process`, { cause }));
      } else resolve(fail('LISTEN_FAILED', `listening on ${path} failed: ${reason}`, { cause }));
    };
    server.once('error', refuse);
    // The socket is made inside `listen`: nobody ever sees it with wider permissions.
    const umask = process.umask(0o777 & ~mode);
    server.listen({ path, backlog: BACKLOG }, () => {
      server.off('error', refuse);
      try {
        if (groupId !== undefined) chownSync(path, -1, groupId);
        chmodSync(path, mode);
        resolve(ok(undefined));
      } catch (cause) {
        refuse(cause);
      }
    });
    process.umask(umask);
  });
}

/** Turns accepted sockets into the host's connections. */
class Acceptor {
  readonly #host: RpcHost;
  readonly #syscalls: PeerSyscalls;
  readonly #counts: PeerCount;
  /** Sockets that have not shown their first request. */
  readonly #pending = new Set<Socket>();

  constructor(host: RpcHost, syscalls: PeerSyscalls) {
    this.#host = host;
    this.#syscalls = syscalls;
    this.#counts = new PeerCount(host.limits.maxConnections, host.limits.maxConnectionsPerPeer);
  }

  accept(socket: Socket): void {
    // What went wrong is told by 'close'; an error without a listener would end the process.
    socket.on('error', () => {});
    const peer = peerProcessOf(socket, this.#syscalls);
    if (!peer.ok) this.#refuse(socket, 'peer-credentials');
    else if (this.#admit(socket, peer.value)) this.#open(socket, peer.value);
    else this.#refuse(socket, 'connection-limit');
  }

  /** Counts the connection in; its handle is released when it closes, or at once when refused. */
  #admit(socket: Socket, process: HeldPeerProcess): boolean {
    const key = String(process.uid);
    const admitted = this.#counts.add(key);
    if (!admitted) {
      process.release();
      return false;
    }
    this.#pending.add(socket);
    socket.once('close', () => {
      process.release();
      this.#counts.remove(key);
      this.#pending.delete(socket);
    });
    return true;
  }

  /** Destroys connections that no host knows yet. */
  dropPending(): void {
    for (const socket of this.#pending) socket.destroy();
  }

  #open(socket: Socket, process: HeldPeerProcess): void {
    openFront({
      socket,
      clock: this.#host.clock,
      handshakeTimeoutMs: this.#host.limits.handshakeTimeoutMs,
      onTransport: (transport) => {
        this.#pending.delete(socket);
        const peer = { kind: 'process', process } as const;
        const countedAs = `uid ${process.uid}`;
        this.#host.accept(transport, { remoteAddress: 'unix', peer, countedAs });
      },
      onTimeout: () => this.#host.metrics.connectionRefused(this.#host.name, 'too-slow'),
    });
  }

  #refuse(socket: Socket, reason: string): void {
    this.#host.metrics.connectionRefused(this.#host.name, reason);
    socket.destroy();
  }
}
