import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { Result } from '../base/result.ts';
import type { X509Svid } from '../gen/signet/connector/v1/connector.ts';
import type { SvidFacts } from '../policy/svid-facts.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { BundleMessage } from './bundle-feed.ts';
import type { DiagnosticsTable } from './diagnostics.ts';
import type { RenewalPace } from './renewal-pace.ts';
import type { SegmentMessages, SegmentVersion } from './segment-feed.ts';
import type { TargetBudget } from './segment-health.ts';

/** Signs the next SVID of a connector, for the key of a PKCS #10 request (DER). */
export type RenewConnector = (
  connector: ConnectorRecord,
  csr: Uint8Array,
) => Promise<Result<X509Svid>>;

/** What sessions count, for metrics; plain numbers, as they change with every message. */
export interface SessionCounts {
  heartbeats: number;
  nacks: number;
  renewals: number;
  renewalsFailed: number;
  events: number;
  eventsDropped: number;
  unknownMessages: number;
  replaced: number;
  cloneSuspicions: number;
  refused: number;
}

/** Nothing counted yet. */
export function noSessionCounts(): SessionCounts {
  return {
    heartbeats: 0,
    nacks: 0,
    renewals: 0,
    renewalsFailed: 0,
    events: 0,
    eventsDropped: 0,
    unknownMessages: 0,
    replaced: 0,
    cloneSuspicions: 0,
    refused: 0,
  };
}

/** What all sessions share. */
export interface SessionContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly heartbeatSeconds: number;
  readonly counts: SessionCounts;
  readonly targets: TargetBudget;
  readonly diagnostics: DiagnosticsTable;
  /** Whether the SVID that opened a session is still that of a connector that may hold one. */
  judge(facts: SvidFacts): Result<unknown>;
  segments(group: string): SegmentVersion;
  messagesFrom(group: string, version: string): SegmentMessages;
  bundle(group: string): BundleMessage | undefined;
  /** See `ConnectorGroupDraft.offlineSeconds`. */
  offlineSeconds(group: string): number;
  /** How long a time connectors that lost this server come back in, so that it can take them. */
  reconnectSpreadMs(): number;
  readonly renew: RenewConnector;
  /** Of all sessions: a connector that reconnects does not renew more often. */
  readonly renewals: RenewalPace;
  /** Writes down that a connector left for good. */
  stopped(id: string, reason: string): Promise<void>;
  /** Writes an event of a connector into the log, unless it tells too many. */
  event(connector: ConnectorRecord, event: SessionEvent): void;
  /** Notes that what operators see of a connector changed. */
  touched(id: string): void;
}

/** What a connector has to say to operators. */
export interface SessionEvent {
  readonly reason: string;
  readonly message: string;
  readonly warning: boolean;
}
