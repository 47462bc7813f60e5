import {
  type ConnectionOptions,
  createServer,
  type DetailedPeerCertificate,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { type Clock, systemClock } from '../base/clock.ts';
import { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { MAX_CHAIN_CERTIFICATES, validateX509Svid } from '../spiffe/x509-svid.ts';
import { parseCertificate } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';
import type { UnknownRevocation } from './context-crls.ts';
import { bundlesOf, type X509Context } from './x509-context.ts';
import type { X509Source } from './x509-source.ts';

/** Who of those with a valid identity may talk to us. */
export type Authorize = (id: SpiffeId) => boolean;

/** Allows these SPIFFE IDs and no others. */
export function authorizeIds(...ids: readonly SpiffeId[]): Authorize {
  const allowed = new Set(ids.map(({ uri }) => uri));
  return (id) => allowed.has(id.uri);
}

/** Allows every SPIFFE ID of a trust domain. */
export function authorizeMemberOf(trustDomain: TrustDomain): Authorize {
  return (id) => id.trustDomain.name === trustDomain.name;
}

/**
 * Options for `tls.connect` and the like. The server must present an X.509-SVID of a domain whose
 * bundle is held, with an ID that `authorize` allows; its host name means nothing. Judged by our
 * validator after OpenSSL's, by the CRLs of the context too. Never with a session cache: a resumed
 * session is not judged again.
 *
 * @param unknown What becomes of a peer that no CRL in force covers.
 */
export function tlsClientOptions(
  context: X509Context,
  authorize: Authorize,
  clock: Clock = systemClock,
  unknown: UnknownRevocation = 'accept',
): ConnectionOptions {
  return {
    ...sharedOptions(context),
    checkServerIdentity: (_host, certificate) => {
      // With `rejectUnauthorized` Node hands over the whole chain here.
      const chain = chainOf(certificate as DetailedPeerCertificate);
      const peer = checkPeer(chain, { context, unknown, clock }, authorize);
      return peer.ok ? undefined : peer.error;
    },
  };
}

/**
 * Options for `tls.createServer`: clients must present a certificate that chains to a bundle held.
 * That is half of it: each connection must be judged with {@link verifyPeer} before it is used.
 * {@link createMtlsServer} does both.
 */
export function tlsServerOptions(context: X509Context): TlsOptions {
  return { ...sharedOptions(context), requestCert: true };
}

/** What a peer is judged by. */
export interface PeerTrust {
  readonly context: X509Context;
  /** What becomes of a peer that no CRL in force covers; `accept` unless told. */
  readonly unknown?: UnknownRevocation;
  readonly clock?: Clock;
}

/**
 * Judges the other side of a connection that is set up: SPIFFE rules, today's bundles and CRLs, and
 * who it is.
 */
export function verifyPeer(
  socket: TLSSocket,
  trust: PeerTrust,
  authorize: Authorize,
): Result<SpiffeId> {
  return checkPeer(chainOf(socket.getPeerCertificate(true)), trust, authorize);
}

/** What becomes of an accepted connection. */
export interface MtlsServerHandlers {
  readonly authorize: Authorize;
  readonly onConnection: (socket: TLSSocket, peer: SpiffeId) => void;
  /** Told why a connection was refused; the other side only sees it end. */
  readonly onRefused?: (error: SignetError) => void;
  /** What becomes of a client that no CRL in force covers; `accept` unless told. */
  readonly unknownRevocation?: UnknownRevocation;
}

/**
 * A TLS server with the identity of a source, which must hold one. Rotation replaces key, chain and
 * bundles for new connections; those that are open go on.
 */
export function createMtlsServer(
  source: X509Source,
  handlers: MtlsServerHandlers,
  clock: Clock = systemClock,
): Result<Server> {
  const context = source.current();
  if (!context.ok) return context;
  const refuse = (error: SignetError): void => handlers.onRefused?.(error);
  const server = createServer(tlsServerOptions(context.value), (socket) => {
    socket.on('error', () => socket.destroy());
    const now = source.current();
    const { authorize, unknownRevocation: unknown = 'accept' } = handlers;
    const peer = now.ok
      ? verifyPeer(socket, { context: now.value, unknown, clock }, authorize)
      : now;
    if (peer.ok) return handlers.onConnection(socket, peer.value);
    socket.destroy();
    return refuse(peer.error);
  });
  server.on('tlsClientError', (cause) => {
    refuse(new SignetError('PEER_UNTRUSTED', `TLS handshake failed: ${cause.message}`, { cause }));
  });
  const unsubscribe = source.subscribe((next) => server.setSecureContext(tlsServerOptions(next)));
  server.on('close', unsubscribe);
  return ok(server);
}

function sharedOptions(context: X509Context): ConnectionOptions & TlsOptions {
  const [svid] = context.svids;
  const anchors = [...context.bundles.values()].flatMap(({ x509Authorities }) => x509Authorities);
  return {
    key: svid.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: svid.chain.map(({ der }) => encodePem('CERTIFICATE', der)).join(''),
    ca: anchors.map(({ certificate }) => encodePem('CERTIFICATE', certificate.der)),
    // A bundle may hold an authority that is signed by another one.
    allowPartialTrustChain: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  };
}

function checkPeer(
  chainDer: readonly Uint8Array[],
  { context, unknown = 'accept', clock = systemClock }: PeerTrust,
  authorize: Authorize,
): Result<SpiffeId> {
  const chain: Certificate[] = [];
  for (const der of chainDer) {
    const certificate = parseCertificate(der);
    if (!certificate.ok) return fail('PEER_UNTRUSTED', certificate.error.message);
    chain.push(certificate.value);
  }
  const atMs = clock.nowMs();
  const valid = validateX509Svid({
    chain,
    bundles: bundlesOf(context),
    atMs,
    revocation: (bundle) => context.crls.check(bundle, unknown, atMs),
  });
  if (!valid.ok) return fail('PEER_UNTRUSTED', valid.error.message, { cause: valid.error });
  const { id } = valid.value;
  return authorize(id) ? ok(id) : fail('PEER_NOT_AUTHORIZED', `${id.uri} is not allowed here`);
}

/** The certificates of the other side, leaf first; ends where an issuer is its own, or is absent. */
function chainOf(leaf: DetailedPeerCertificate): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let at: DetailedPeerCertificate | undefined = leaf;
  while (at?.raw !== undefined && chain.length <= MAX_CHAIN_CERTIFICATES) {
    chain.push(at.raw);
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
  return chain;
}
