import { createHash } from 'node:crypto';
import type { Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { ConnectorClient } from '../../src/gen/signet/connector/v1/connector.ts';
import { VendorKeysClient } from '../../src/gen/signet/connector/v1/vendor.ts';
import { spiffeIdFromPath } from '../../src/spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { type HttpProxy, proxyFromEnvironment } from '../../src/tls/http-proxy.ts';
import type { TlsIdentity } from '../../src/tls/identity.ts';
import { openServerChannel } from '../../src/tls/server-channel.ts';
import { createSvidValidator } from '../../src/tls/validator.ts';
import type { ServerTrust } from '../attestation/server-clients.ts';
import type { ConnectorConfig } from './config.ts';
import type { ServerPlace } from './server-place.ts';

/** An open channel to a server. */
export interface ConnectorChannel {
  readonly client: ConnectorClient;
  readonly vendorKeys: VendorKeysClient;
  /** SHA-256 of the certificate that the server showed; empty before the first connection. */
  serverCertificateSha256(): Buffer;
  /** Why the server was last not accepted: calls only see that it is unreachable. */
  refusal(): SignetError | undefined;
  /** Ends the channel; calls under way fail. */
  close(): void;
}

/** Opens a channel to a server; as nobody where there is no identity. */
export type DialConnector = (
  place: ServerPlace,
  trust: ServerTrust,
  identity: TlsIdentity | undefined,
) => Result<ConnectorChannel>;

/** What dialling needs. */
export interface ConnectorDialParts {
  readonly trustDomain: TrustDomain;
  readonly proxy: ConnectorConfig['proxy'];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/** A dead connection is noticed within half a minute, and proxies see that this one lives. */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 5000,
} as const;

/** A dialler of the trust domain's servers. */
export function createConnectorDialler(parts: ConnectorDialParts): DialConnector {
  return (place, trust, identity) => {
    const expectedId = spiffeIdFromPath(parts.trustDomain, '/spire/server');
    if (!expectedId.ok) return expectedId;
    const proxy = proxyFor(parts, place);
    if (!proxy.ok) return proxy;
    let certificate: Uint8Array | undefined;
    let refusal: SignetError | undefined;
    const channel = openServerChannel({
      ...place,
      proxy: proxy.value,
      verification:
        trust.kind === 'insecure'
          ? { kind: 'insecure-bootstrap' }
          : {
              kind: 'spiffe',
              expectedId: expectedId.value,
              validate: createSvidValidator({
                bundles: ({ name }) =>
                  name === parts.trustDomain.name ? trust.bundle() : undefined,
                clock: parts.clock,
              }),
            },
      ...(identity === undefined ? {} : { identity }),
      onRefused: (error) => {
        refusal = error;
      },
      onAccepted: (der) => {
        certificate = der;
        refusal = undefined;
      },
      settings: { options: CHANNEL_OPTIONS },
    });
    if (!channel.ok) return channel;
    return ok({
      client: channel.value.client(ConnectorClient),
      vendorKeys: channel.value.client(VendorKeysClient),
      serverCertificateSha256: () =>
        certificate === undefined
          ? Buffer.alloc(0)
          : createHash('sha256').update(certificate).digest(),
      refusal: () => refusal,
      close: () => channel.value.close(),
    });
  };
}

function proxyFor(
  { proxy, env }: ConnectorDialParts,
  { host }: ServerPlace,
): Result<HttpProxy | undefined> {
  if (proxy.url !== undefined) return ok(proxy.url);
  return proxy.fromEnvironment ? proxyFromEnvironment(env, host) : ok(undefined);
}
