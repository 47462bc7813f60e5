import { constants } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { RpcHost } from '../rpc/host.ts';
import type { RateLimit } from '../rpc/rate-limiter.ts';
import type { Listener } from '../rpc/unix-listener.ts';
import { systemReason } from '../rpc/unix-path.ts';
import { TlsAcceptor } from './acceptor.ts';
import type { ChainValidator, TlsIdentity } from './identity.ts';
import { identityOptions, loadIdentity } from './secure-context.ts';

/** Where and how the TCP port is opened. */
export interface TlsListenerOptions {
  /** IPv4 or IPv6 address; `::` is both. */
  readonly address: string;
  /** 0 chooses a free one. */
  readonly port: number;
  readonly minTlsVersion: '1.2' | '1.3';
  readonly identity: TlsIdentity;
  readonly validateClient: ChainValidator;
  /** Connections end after so long, ± 10 %, unless something holds them open; 0 is never. */
  readonly maxConnectionAgeMs: number;
  /** Handshakes at once, in all and of one address. */
  readonly maxPendingHandshakes?: number;
  readonly maxPendingHandshakesPerAddress?: number;
  /** Connections without a client certificate, of one address (of one /64 for IPv6). */
  readonly anonymousLimit?: RateLimit;
  readonly random: Random;
}

/** An open TCP listener. */
export interface TlsListener extends Listener {
  readonly port: number;
  /** Presents another identity on new connections (SVID rotation). */
  setIdentity(identity: TlsIdentity): Result<void>;
}

/** Connections that the kernel may hold until they are accepted. */
const BACKLOG = 1024;

/** Opens the TCP port and serves a host on it; a bad client certificate ends its connection. */
export async function listenTls(
  options: TlsListenerOptions,
  host: RpcHost,
): Promise<Result<TlsListener>> {
  const loaded = loadIdentity(options.identity);
  if (!loaded.ok) return loaded;
  const tls = createTlsServer({
    ...identityOptions(options.identity),
    requestCert: true,
    // Node's verdict would be by its own rules and roots: ours comes after the handshake.
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    minVersion: options.minTlsVersion === '1.2' ? 'TLSv1.2' : 'TLSv1.3',
    // A resumed session would skip the check of the chain against today's bundle.
    secureOptions: constants.SSL_OP_NO_TICKET,
    handshakeTimeout: host.limits.handshakeTimeoutMs,
  });
  const acceptor = new TlsAcceptor(options, host, tls);
  const server = createServer({ allowHalfOpen: false }, (socket) => acceptor.accept(socket));
  const bound = await bind(server, options);
  if (!bound.ok) return bound;
  server.on('error', (cause) => host.log.error({ listener: host.name, err: cause }, 'listener'));
  const port = bound.value;
  return ok({
    port,
    address: options.address.includes(':')
      ? `[${options.address}]:${port}`
      : `${options.address}:${port}`,
    setIdentity: (identity) => setIdentity(tls, options, identity),
    close: async () => {
      server.close();
      acceptor.dropPending();
    },
  });
}

function setIdentity(
  tls: TlsServer,
  options: TlsListenerOptions,
  identity: TlsIdentity,
): Result<void> {
  // Loading it apart first: a bad one must not take the place of a good one.
  const loaded = loadIdentity(identity);
  if (!loaded.ok) return loaded;
  tls.setSecureContext({
    ...identityOptions(identity),
    minVersion: options.minTlsVersion === '1.2' ? 'TLSv1.2' : 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  return ok(undefined);
}

function bind(server: Server, options: TlsListenerOptions): Promise<Result<number>> {
  const { address, port } = options;
  return new Promise((resolve) => {
    server.once('error', (cause) => {
      const reason = systemReason(cause);
      const message = `listening on ${address} port ${port} failed: ${reason}`;
      resolve(fail('LISTEN_FAILED', message, { cause }));
    });
    server.listen({ host: address, port, backlog: BACKLOG }, () => {
      server.removeAllListeners('error');
      const bound = server.address();
      resolve(ok(typeof bound === 'object' && bound !== null ? bound.port : port));
    });
  });
}
