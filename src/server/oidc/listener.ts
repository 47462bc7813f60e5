import { chmodSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import { fail, ok, type Result } from '../../base/result.ts';
import { claimSocketPath } from '../../rpc/unix-path.ts';
import { errnoCode } from '../../runtime/atomic-file.ts';
import type { PemIdentity } from './identity.ts';

/** Where discovery is served, and as whom. */
export interface OidcListenerOptions {
  readonly address: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  /** Who the listener is to each new connection; undefined serves plain HTTP. */
  readonly identity: (() => PemIdentity) | undefined;
  readonly answer: RequestListener;
}

/** A listener that answers. */
export interface OidcListener {
  /** Undefined on a Unix socket. */
  readonly port: number | undefined;
  close(): Promise<void>;
}

const HTTP = {
  insecureHTTPParser: false,
  maxHeaderSize: 8192,
  headersTimeout: 5000,
  requestTimeout: 5000,
  connectionsCheckingInterval: 5000,
} as const;
const TLS = { minVersion: 'TLSv1.2', handshakeTimeout: 10_000 } as const;
const MAX_CONNECTIONS = 512;

/** Opens the listener. Fails with LISTEN_FAILED, TLS_CONFIGURATION and what socket paths fail with. */
export async function listenOidc(options: OidcListenerOptions): Promise<Result<OidcListener>> {
  const { socketPath, answer, identity } = options;
  if (socketPath !== undefined) {
    const claimed = await claimSocketPath({ path: socketPath, folderMode: 0o755 });
    if (!claimed.ok) return claimed;
  }
  // Loaded only where they are needed: they bring an HTTP client of their own.
  if (identity === undefined) {
    const { createServer } = await import('node:http');
    return listen(createServer(HTTP, answer), options);
  }
  const { createServer } = await import('node:https');
  const server = createServer({ ...HTTP, ...TLS, ...identity() }, answer);
  followIdentity(server, identity);
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return listen(server, options);
}

/** Before each handshake, so that nothing need tell the listener that there is another. */
function followIdentity(server: TlsServer, identity: () => PemIdentity): void {
  let shown = identity();
  server.prependListener('connection', () => {
    const now = identity();
    if (now === shown) return;
    shown = now;
    server.setSecureContext({ ...TLS, ...now });
  });
}

function listen(server: Server, options: OidcListenerOptions): Promise<Result<OidcListener>> {
  const { address, port, socketPath } = options;
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    else socket.destroy();
  });
  const { promise, resolve } = Promise.withResolvers<Result<OidcListener>>();
  // Also later, when a connection cannot be accepted: unheard, it would end the process.
  server.on('error', (cause) => {
    const where = socketPath ?? `${address} port ${port}`;
    const why = `OIDC discovery cannot listen on ${where} (${errnoCode(cause)})`;
    resolve(fail('LISTEN_FAILED', why, { cause }));
  });
  const place =
    socketPath === undefined ? { host: address, port, exclusive: true } : { path: socketPath };
  server.listen(place, () => {
    // Anybody may read it; who reaches the socket is for its folder to say.
    if (socketPath !== undefined) chmodSync(socketPath, 0o666);
    const bound = server.address();
    const found = typeof bound === 'object' ? bound?.port : undefined;
    resolve(ok({ port: found, close: () => closeServer(server) }));
  });
  return promise;
}

function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  return promise;
}
