import { Agent, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { SignetError } from '../base/errors.ts';
import type { EndpointProfile } from '../rules/federation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { sameSpiffeId } from '../spiffe/spiffe-id.ts';
import { peerChain } from '../tls/secure-context.ts';
import { createSvidValidator } from '../tls/validator.ts';

/** How one bundle endpoint is known. */
export interface EndpointTrust {
  readonly url: URL;
  readonly profile: EndpointProfile;
  /** Of the trust domain of the endpoint's SPIFFE ID; unused with https_web. */
  readonly bundle: Bundle | undefined;
  /** PEM, with https_web; Node.js's public ones where undefined. */
  readonly webRoots: string | undefined;
  readonly clock: Clock;
}

type Given = (error: Error | null, socket: Duplex) => void;

/**
 * One connection to one bundle endpoint. It is handed to HTTP only once the other side proved to be
 * who the profile says, and it is never resumed: each fetch judges anew (Federation §5.2).
 */
export class EndpointAgent extends Agent {
  readonly #trust: EndpointTrust;
  readonly #sockets = new Set<TLSSocket>();

  constructor(trust: EndpointTrust) {
    super({ keepAlive: false, maxSockets: 1, maxCachedSessions: 0 });
    this.#trust = trust;
  }

  override createConnection(_: RequestOptions, given?: Given): undefined {
    const socket = connect(connectionOptions(this.#trust));
    this.#sockets.add(socket);
    let settled = false;
    const settle = (error: Error | null): void => {
      if (settled) return;
      settled = true;
      given?.(error, socket);
    };
    socket.once('secureConnect', () => {
      const refused = refusal(socket, this.#trust);
      settle(refused ?? null);
      if (refused !== undefined) socket.destroy();
    });
    socket.once('error', (error) => settle(unauthorized(socket) ?? error));
    socket.once('close', () => {
      this.#sockets.delete(socket);
      settle(new SignetError('FEDERATION_ENDPOINT_UNREACHABLE', 'the connection was closed'));
    });
  }

  override destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
    super.destroy();
  }
}

function connectionOptions({ url, profile, webRoots }: EndpointTrust): ConnectionOptions {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const common: ConnectionOptions = {
    host,
    port: Number(url.port === '' ? 443 : url.port),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
  };
  // By SPIFFE ID the chain is judged below, before a byte of HTTP: Node would go by the host's name.
  if (profile.kind === 'https_spiffe') return { ...common, ca: [], rejectUnauthorized: false };
  // FED-10: host and public CA, by Node.js (RFC 6125).
  const roots = webRoots === undefined ? {} : { ca: webRoots };
  return { ...common, ...roots, rejectUnauthorized: true };
}

function refusal(socket: TLSSocket, trust: EndpointTrust): SignetError | undefined {
  const { profile, bundle, clock } = trust;
  if (profile.kind === 'https_web') return socket.authorized ? undefined : unauthorized(socket);
  const { endpointId } = profile;
  const bundles = ({ name }: { readonly name: string }): Bundle | undefined =>
    name === endpointId.trustDomain.name ? bundle : undefined;
  const valid = createSvidValidator({ bundles, clock })(peerChain(socket));
  if (!valid.ok) {
    const message = `the SVID of the bundle endpoint is refused: ${valid.error.message}`;
    return new SignetError('FEDERATION_ENDPOINT_UNTRUSTED', message, { cause: valid.error });
  }
  // FED-12: exactly this ID; the name of its host means nothing.
  if (sameSpiffeId(valid.value.id, endpointId)) return undefined;
  return new SignetError(
    'FEDERATION_ENDPOINT_UNTRUSTED',
    `the bundle endpoint is ${valid.value.id.uri}, expected ${endpointId.uri}`,
  );
}

function unauthorized(socket: TLSSocket): SignetError | undefined {
  // Typed as always there; null where nothing was judged.
  const reason: unknown = socket.authorizationError;
  if (reason === null || reason === undefined) return undefined;
  const message =
    'the certificate of the bundle endpoint leads to no known CA, or has another name';
  return new SignetError('FEDERATION_ENDPOINT_UNTRUSTED', message, { cause: reason });
}
