import type { Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { AgentSyncClient } from '../../src/gen/signet/agent/v1/agent.ts';
import { AgentClient } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleClient } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryClient } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDClient } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import type { Bundle, BundleSource } from '../../src/spiffe/bundle.ts';
import { spiffeIdFromPath } from '../../src/spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import type { TlsIdentity } from '../../src/tls/identity.ts';
import { openServerChannel } from '../../src/tls/server-channel.ts';
import { createSvidValidator } from '../../src/tls/validator.ts';

/** The server's services over one channel. */
export interface ServerClients {
  readonly agent: AgentClient;
  readonly bundle: BundleClient;
  readonly entry: EntryClient;
  readonly svid: SVIDClient;
  readonly sync: AgentSyncClient;
  /** Ends the channel; calls under way fail. */
  close(): void;
}

/** What the server is verified against. */
export type ServerTrust =
  /** Asked at each connection, so that a changed bundle counts from the next one on. */
  | { readonly kind: 'bundle'; readonly bundle: () => Bundle }
  /** Takes anyone: the operator chose `bootstrap.insecure`. */
  | { readonly kind: 'insecure' };

/** Opens a channel to the server, as an agent or (before attestation) as nobody. */
export type DialServer = (
  trust: ServerTrust,
  identity: TlsIdentity | undefined,
) => Result<ServerClients>;

/** What dialling needs. */
export interface DialParts {
  readonly host: string;
  readonly port: number;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  /** Told why a server was not accepted. */
  readonly onRefused: (error: SignetError) => void;
}

/**
 * A dead connection is noticed within half a minute (D3), and the first attempt after an outage is
 * soon, whatever the last one was.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 5000,
} as const;

/** A dialler of the configured server. */
export function createDialler(parts: DialParts): DialServer {
  return (trust, identity) => {
    const expectedId = spiffeIdFromPath(parts.trustDomain, '/spire/server');
    if (!expectedId.ok) return expectedId;
    const channel = openServerChannel({
      host: parts.host,
      port: parts.port,
      verification:
        trust.kind === 'insecure'
          ? { kind: 'insecure-bootstrap' }
          : {
              kind: 'spiffe',
              expectedId: expectedId.value,
              validate: createSvidValidator({
                bundles: ownBundleOnly(trust.bundle),
                clock: parts.clock,
              }),
            },
      ...(identity === undefined ? {} : { identity }),
      onRefused: parts.onRefused,
      settings: { options: CHANNEL_OPTIONS },
    });
    if (!channel.ok) return channel;
    const { value: open } = channel;
    return ok({
      agent: open.client(AgentClient),
      bundle: open.client(BundleClient),
      entry: open.client(EntryClient),
      svid: open.client(SVIDClient),
      sync: open.client(AgentSyncClient),
      close: () => open.close(),
    });
  };
}

/** No other trust domain's authorities can vouch for our server. */
function ownBundleOnly(bundle: () => Bundle): BundleSource {
  return ({ name }) => {
    const own = bundle();
    return name === own.trustDomain.name ? own : undefined;
  };
}
