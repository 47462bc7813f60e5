import type { Result } from '../base/result.ts';
import type { RpcHost } from './host.ts';

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
}

/** An open listener. */
export interface Listener {
  /** The socket's path, or `address:port`. */
  readonly address: string;
  /** Stops accepting and removes the socket; open connections go on until the host's shutdown. */
  close(): Promise<void>;
}

/**
 * Opens a Unix socket and serves a host on it. A path held by a live process is SOCKET_IN_USE; what
 * a dead one left is replaced; anything else at the path is refused.
 */
export declare function listenUnix(
  options: UnixListenerOptions,
  host: RpcHost,
): Promise<Result<Listener>>;
