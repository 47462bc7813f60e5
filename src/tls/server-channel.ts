import { isIPv6, type Socket } from 'node:net';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import {
  type CallCredentials,
  ChannelCredentials,
  type ClientOptions,
  credentials,
  type experimental,
} from '@grpc/grpc-js';
import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { type ChannelSettings, openChannel, type RpcChannel } from '../rpc/channel.ts';
import { type SpiffeId, sameSpiffeId } from '../spiffe/spiffe-id.ts';
import type { HttpProxy } from './http-proxy.ts';
import type { ChainValidator, TlsIdentity } from './identity.ts';
import { loadIdentity, peerChain } from './secure-context.ts';

/** How the server is recognised. */
export type ServerVerification =
  | {
      readonly kind: 'spiffe';
      /** `spiffe://<td>/spire/server`. */
      readonly expectedId: SpiffeId;
      /** Judges the chain against the bundle at hand. */
      readonly validate: ChainValidator;
    }
  /** Accepts anyone: for `bootstrap.insecure`, once, by the operator's explicit choice. */
  | { readonly kind: 'insecure-bootstrap' };

/** A channel from an agent to its server. */
export interface ServerChannelOptions {
  readonly host: string;
  readonly port: number;
  readonly verification: ServerVerification;
  /** The agent's own SVID; none before attestation. */
  readonly identity?: TlsIdentity;
  /** Told why a server was refused; calls only see that it is unreachable. */
  readonly onRefused?: (error: SignetError) => void;
  /** Told the certificate that a server showed which was accepted, DER. */
  readonly onAccepted?: (leafDer: Uint8Array) => void;
  /** Goes through this proxy by HTTP CONNECT; TLS is with the server all the same. */
  readonly proxy?: HttpProxy | undefined;
  readonly settings?: ChannelSettings;
}

/** Time for a TLS handshake, in milliseconds. */
const HANDSHAKE_MS = 10_000;

/**
 * Opens a channel to the server's port. One channel for each version of the SVID and bundle: open a
 * new one and close the old one when either changes; no TLS session is kept or shared.
 */
export function openServerChannel(options: ServerChannelOptions): Result<RpcChannel> {
  const { host, port } = options;
  const context = loadIdentity(options.identity, { minVersion: 'TLSv1.2' });
  if (!context.ok) return context;
  const verified = new ServerCredentials(options, context.value);
  const { proxy, settings } = options;
  if (proxy === undefined) return ok(openChannel(targetOf(host, port), verified, settings));
  const proxied = { ...settings?.options, ...proxyOptions(proxy, targetOf(host, port)) };
  const target = targetOf(proxy.host, proxy.port);
  return ok(openChannel(target, verified, { ...settings, options: proxied }));
}

function targetOf(host: string, port: number): string {
  return isIPv6(host) ? `dns:[${host}]:${port}` : `dns:${host}:${port}`;
}

/** How grpc-js is told to begin each connection with a CONNECT. */
function proxyOptions({ credentials: login }: HttpProxy, target: string): Partial<ClientOptions> {
  return {
    'grpc.http_connect_target': target,
    'grpc.default_authority': 'localhost',
    ...(login === undefined ? {} : { 'grpc.http_connect_creds': login }),
  };
}

/**
 * Channel credentials that make TLS themselves: grpc-js's own would judge the server by host name and
 * OpenSSL's rules before asking us.
 */
class ServerCredentials extends ChannelCredentials {
  readonly #options: ServerChannelOptions;
  readonly #context: SecureContext;

  constructor(options: ServerChannelOptions, context: SecureContext) {
    super();
    this.#options = options;
    this.#context = context;
  }

  override _isSecure(): boolean {
    return true;
  }

  /** Only itself: channels with other identities or bundles never share its connections. */
  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials?: CallCredentials,
  ): experimental.SecureConnector {
    return {
      connect: async (socket) => {
        const secured = await this.#connect(socket);
        if (secured.ok) return { socket: secured.value, secure: true };
        this.#options.onRefused?.(secured.error);
        throw secured.error;
      },
      waitForReady: async () => {},
      getCallCredentials: () => callCredentials ?? credentials.createEmpty(),
      destroy: () => {},
    };
  }

  #connect(socket: Socket): Promise<Result<TLSSocket>> {
    return new Promise((resolve) => {
      const tls = connect({
        socket,
        secureContext: this.#context,
        ALPNProtocols: ['h2'],
        // Our validator judges the chain below; Node would by host name.
        rejectUnauthorized: false,
      });
      const end = (result: Result<TLSSocket>): void => {
        tls.setTimeout(0);
        tls.off('error', onError);
        // Later errors are the HTTP/2 session's; until it listens they must not end the process.
        tls.on('error', () => {});
        if (!result.ok) tls.destroy();
        resolve(result);
      };
      const failed = (reason: string, cause?: unknown): void =>
        end(fail('TLS_HANDSHAKE_FAILED', `TLS with ${this.#address} failed: ${reason}`, { cause }));
      const onError = (cause: Error): void => failed(reasonOf(cause), cause);
      tls.once('error', onError);
      tls.once('close', () => failed('connection closed'));
      tls.setTimeout(HANDSHAKE_MS, () => failed('no answer in time'));
      tls.once('secureConnect', () => end(this.#judge(tls)));
    });
  }

  get #address(): string {
    return `${this.#options.host} port ${this.#options.port}`;
  }

  #judge(tls: TLSSocket): Result<TLSSocket> {
    if (tls.alpnProtocol !== 'h2') {
      return fail('TLS_HANDSHAKE_FAILED', `${this.#address} does not speak HTTP/2`);
    }
    const { verification } = this.#options;
    const chain = peerChain(tls);
    const accept = (): Result<TLSSocket> => {
      if (chain[0] !== undefined) this.#options.onAccepted?.(chain[0]);
      return ok(tls);
    };
    if (verification.kind === 'insecure-bootstrap') return accept();
    const valid = verification.validate(chain);
    if (!valid.ok) {
      const message = `certificate of ${this.#address} refused: ${valid.error.message}`;
      return fail('SERVER_CERTIFICATE_REFUSED', message, { cause: valid.error });
    }
    const { expectedId } = verification;
    if (sameSpiffeId(valid.value.id, expectedId)) return accept();
    const found = valid.value.id.uri;
    return fail(
      'SERVER_CERTIFICATE_REFUSED',
      `${this.#address} is ${found}, expected ${expectedId.uri}`,
    );
  }
}

function reasonOf(cause: Error): string {
  return 'code' in cause ? String(cause.code) : cause.message;
}
