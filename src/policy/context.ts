import type { Clock } from '../base/clock.ts';
import type { ConnectorView } from '../registry/connectors.ts';
import type { Registry } from '../registry/registry.ts';
import type { ZonePolicy } from '../rules/zones.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/** Longest that a view may lag behind its feed before nothing is issued by it: one hour. */
export const DEFAULT_MAX_STALENESS_MS = 3_600_000;

/** What policy asks of the registry. */
export type PolicyRegistry = Pick<
  Registry,
  | 'trustDomain'
  | 'agent'
  | 'entry'
  | 'isAuthorized'
  | 'derived'
  | 'adminEntry'
  | 'downstreamEntry'
  | 'issuingCa'
  | 'stalenessMs'
  | 'revocation'
  | 'issuingCa'
  | 'dpus'
>;

/** What judgements stand on. */
export interface PolicyContext {
  readonly registry: PolicyRegistry;
  readonly clock: Clock;
  /** SPIFFE IDs that the configuration makes operators; may be of other trust domains. */
  readonly adminIds: readonly SpiffeId[];
  /** Effective uid of the server; it and root may use the admin socket. */
  readonly serverUid: number;
  /** Group whose members may use the admin socket too. */
  readonly adminGid: number | undefined;
  /** {@link DEFAULT_MAX_STALENESS_MS} unless configured. */
  readonly maxStalenessMs: number;
  /** What identities demand of nodes; nothing unless configured. */
  readonly zones?: ZonePolicy | undefined;
  /** Connectors and their groups; undefined where they are switched off. */
  readonly connectors?:
    | Pick<ConnectorView, 'connector' | 'connectorBySpiffeId' | 'group'>
    | undefined;
}

/** Unix seconds. */
export function nowSeconds(context: Pick<PolicyContext, 'clock'>): number {
  return Math.floor(context.clock.nowMs() / 1000);
}
