import { hash, type X509Certificate } from 'node:crypto';
import { Agent, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { BmcPlace, BmcTrust } from './place.ts';

/** What connections to one BMC need. */
export interface TlsAgentOptions {
  readonly place: BmcPlace;
  readonly clock: Clock;
  /** For TCP and TLS together. */
  readonly connectTimeoutMs: number;
}

type Given = (error: Error | null, socket: Duplex) => void;

/**
 * Connections to one BMC, and to nothing else. Each is handed to HTTP only after the other side proved
 * that it holds the key of the pinned certificate (or one that leads to the CA), so neither password
 * nor token ever reaches anybody else. No resumption: each connection is judged by itself.
 */
export class TlsAgent extends Agent {
  readonly #options: TlsAgentOptions;
  readonly #connecting = new Set<TLSSocket>();
  #ended = false;

  constructor(options: TlsAgentOptions) {
    // A collection asks one thing after another; the second place is for one that asks beside it.
    super({ keepAlive: true, maxSockets: 2, maxCachedSessions: 0 });
    this.#options = options;
  }

  override createConnection(_: RequestOptions, given?: Given): undefined {
    const { place, clock, connectTimeoutMs } = this.#options;
    const socket = connect(connectionOptions(place));
    this.#connecting.add(socket);
    const cancel = clock.after(connectTimeoutMs, () => socket.destroy(silence(connectTimeoutMs)));
    const settle = (error: Error | null): void => {
      if (!this.#connecting.delete(socket)) return;
      cancel();
      given?.(error, socket);
    };
    socket.once('secureConnect', () => {
      const refused = refusal(socket, place.trust);
      settle(refused ?? null);
      if (refused !== undefined) socket.destroy();
    });
    socket.once('error', (error) => settle(untrusted(socket) ?? error));
    socket.once('close', () => settle(ended()));
    if (this.#ended) socket.destroy();
  }

  /** Connects, takes the certificate and ends: nothing is sent. `unpinned` takes any. */
  shown({ unpinned }: { readonly unpinned: boolean }): Promise<Result<X509Certificate>> {
    const { promise, resolve } = Promise.withResolvers<Result<X509Certificate>>();
    this.createConnection({}, (error, socket) => {
      const judged = error === null || (unpinned && isMismatch(error));
      const certificate =
        judged && socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
      socket.destroy();
      if (certificate !== undefined) return resolve(ok(certificate));
      if (error instanceof SignetError) return resolve({ ok: false, error });
      const why = error !== null && 'code' in error ? `: ${String(error.code)}` : '';
      resolve(fail('REDFISH_UNREACHABLE', `no certificate is shown${why}`, { cause: error }));
    });
    return promise;
  }

  /** Ends every connection, those that are not made yet too. */
  override destroy(): void {
    this.#ended = true;
    for (const socket of this.#connecting) socket.destroy();
    super.destroy();
  }
}

function connectionOptions({ origin, trust, serverName }: BmcPlace): ConnectionOptions {
  const { hostname, port } = new URL(origin);
  const host = hostname.replace(/^\[|\]$/g, '');
  const name = serverName ?? (isIP(host) === 0 ? host : undefined);
  return {
    host,
    port: Number(port === '' ? 443 : port),
    ...(name === undefined ? {} : { servername: name }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    // With a pin, Node.js does not judge: the certificate is compared before anything is sent.
    ...(trust.kind === 'ca'
      ? { ca: trust.pem, rejectUnauthorized: true }
      : { rejectUnauthorized: false }),
  };
}

/** Why a connection is not to be used; a CA was judged by the handshake already. */
function refusal(socket: TLSSocket, trust: BmcTrust): SignetError | undefined {
  if (trust.kind === 'ca') return socket.authorized ? undefined : untrusted(socket);
  const certificate = socket.getPeerX509Certificate();
  const shown = certificate === undefined ? undefined : fingerprint(certificate, trust.kind);
  if (shown !== undefined && trust.sha256.includes(shown)) return undefined;
  const message = `the BMC shows ${shown ?? 'no certificate'}, which is not pinned (${trust.kind})`;
  return new SignetError('REDFISH_PIN_MISMATCH', message);
}

function fingerprint(certificate: X509Certificate, kind: 'certificate' | 'spki'): string {
  if (kind === 'certificate') return hash('sha256', certificate.raw, 'hex');
  return hash('sha256', certificate.publicKey.export({ type: 'spki', format: 'der' }), 'hex');
}

function untrusted(socket: TLSSocket): SignetError | undefined {
  // Typed as always there; null where nothing was judged.
  const reason: unknown = socket.authorizationError;
  if (reason === null || reason === undefined) return undefined;
  const message = 'the certificate of the BMC does not lead to its CA, or has another name';
  return new SignetError('REDFISH_TLS_UNTRUSTED', message, { cause: reason });
}

function isMismatch(error: Error): boolean {
  return error instanceof SignetError && error.code === 'REDFISH_PIN_MISMATCH';
}

function silence(timeoutMs: number): SignetError {
  return new SignetError('REDFISH_TIMEOUT', `no connection to the BMC within ${timeoutMs} ms`);
}

function ended(): SignetError {
  return new SignetError(
    'REDFISH_UNREACHABLE',
    'the BMC ended the connection before it was secured',
  );
}
