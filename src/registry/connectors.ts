import type { Result } from '../base/result.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { BoundKey, ProvisioningKey } from '../rules/connector/keys.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import type { ServedView } from '../rules/connector/served-index.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { ConnectorStore } from '../store/connectors.ts';
import type { Page, PageQuery } from './registry.ts';

/** What changed of connectors since a listener was told last. */
export interface ConnectorsChanged {
  /** Names of groups that came, went or changed, or whose segments did. */
  readonly groups: ReadonlySet<string>;
  /** IDs of segments that came, went or changed. */
  readonly segments: ReadonlySet<string>;
  /** IDs of connectors that came, went or changed. */
  readonly connectors: ReadonlySet<string>;
}

/** Groups, segments, keys and connectors, in memory, for reading. */
export interface ConnectorView {
  group(name: string): ConnectorGroup | undefined;
  groups(): Iterable<ConnectorGroup>;
  /** In the order of their names. Fails with PAGE_TOKEN. */
  listGroups(query: PageQuery): Result<Page<ConnectorGroup>>;

  segment(id: string): ConnectorSegment | undefined;
  segments(): Iterable<ConnectorSegment>;
  /** Segments that name a group, or that it selects by their labels, and that it permits; in no order. */
  segmentsOf(group: string): readonly ConnectorSegment[];
  /** What of them is sent to the group's connectors, as it stands whenever it is looked at. */
  servedOf(group: string): ServedView<ConnectorSegment>;
  /** Groups that serve a segment. */
  groupsOf(segment: ConnectorSegment): readonly string[];
  /** In the order of their IDs; only those of `group` where one is named. Fails with PAGE_TOKEN. */
  listSegments(group: string | undefined, query: PageQuery): Result<Page<ConnectorSegment>>;

  connector(id: string): ConnectorRecord | undefined;
  connectorBySpiffeId(id: SpiffeId): ConnectorRecord | undefined;
  /** The connector of a claimant (see {@link ConnectorRecord.claimant}). */
  connectorOf(claimant: string): ConnectorRecord | undefined;
  connectors(): Iterable<ConnectorRecord>;
  connectorsIn(group: string): Iterable<ConnectorRecord>;
  readonly connectorCount: number;
  /** In the order of their IDs. Fails with PAGE_TOKEN. */
  listConnectors(
    matches: (connector: ConnectorRecord) => boolean,
    query: PageQuery,
  ): Result<Page<ConnectorRecord>>;

  provisioningKey(id: string): ProvisioningKey | undefined;
  provisioningKeys(): Iterable<ProvisioningKey>;
  boundKey(id: string): BoundKey | undefined;
  boundKeys(): Iterable<BoundKey>;

  /** Calls `listener` once for changes that came together. Returns what ends it. */
  onChange(listener: (changed: ConnectorsChanged) => void): () => void;
}

/** The same with the writes of the store, each answered when the view shows it. */
export interface ConnectorRegistry extends ConnectorView, ConnectorStore {}
