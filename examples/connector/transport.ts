import { createHash, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { type Authorities, allAuthorities, idOf } from './spiffe.ts';
import { ConnectorClient } from './wire.ts';

/** Key and chain that a connection shows, PEM. */
export interface Shown {
  readonly key: string;
  readonly cert: string;
}

/** Where a server is, and how it is known. */
export interface Server {
  /** host:port */
  readonly address: string;
  readonly trustDomain: string;
  readonly authorities: Authorities;
  /** After this much silence the connection is tested, and given up a third of it later. */
  readonly keepaliveMs: number;
}

/** A client, with the hash of the certificate that the server has shown it. */
export interface Connection {
  readonly client: ConnectorClient;
  /** SHA-256; empty before the handshake. */
  seenHash(): Buffer;
}

/**
 * TLS 1.3 towards the server. Who the server is shows in its SPIFFE ID, not in a DNS name: it has to be
 * `spiffe://<trust domain>/spire/server`, by an authority of the bundle.
 */
export function connectTo(server: Server, shown?: Shown): Connection {
  let seen = Buffer.alloc(0);
  const wanted = `spiffe://${server.trustDomain}/spire/server`;
  const own = new Map([[server.trustDomain, server.authorities.get(server.trustDomain) ?? []]]);
  const context: SecureContext = createSecureContext({
    ca: allAuthorities(own),
    minVersion: 'TLSv1.3',
    ...shown,
  });
  const channel = credentials.createFromSecureContext(context, {
    checkServerIdentity: (_host, { raw }) => {
      seen = createHash('sha256').update(raw).digest();
      const id = idOf(new X509Certificate(raw));
      return id === wanted ? undefined : new TypeError(`the server is ${id}, not ${wanted}`);
    },
  });
  const host = server.address.slice(0, server.address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  const client = new ConnectorClient(server.address, channel, {
    // A connection of its own, so that a new SVID shows in it. An address is no server name.
    'grpc.use_local_subchannel_pool': 1,
    ...(isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': server.trustDomain }),
    'grpc.keepalive_time_ms': server.keepaliveMs,
    'grpc.keepalive_timeout_ms': Math.ceil(server.keepaliveMs / 3),
    'grpc.max_receive_message_length': 4 * 1024 * 1024,
    'grpc.enable_retries': 0,
  });
  return { client, seenHash: () => seen };
}
