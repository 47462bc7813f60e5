import type { Result } from '../base/result.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { BoundKey, ProvisioningKey } from '../rules/connector/keys.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import type { ServedView } from '../rules/connector/served-index.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type {
  ConnectorFeedChange,
  ConnectorSnapshot,
  ConnectorStore,
} from '../store/connectors.ts';
import { ByName } from './by-name.ts';
import type { ConnectorRegistry, ConnectorsChanged, ConnectorView } from './connectors.ts';
import type { Page, PageQuery } from './registry.ts';
import { SegmentIndex } from './segment-index.ts';

const NO_CONNECTORS: ReadonlyMap<string, ConnectorRecord> = new Map();

/** What the view knows of connectors. */
export class Connectors implements ConnectorView {
  readonly #groups = new ByName<ConnectorGroup>();
  readonly #segments = new ByName<ConnectorSegment>();
  readonly #connectors = new ByName<ConnectorRecord>();
  readonly #provisioningKeys = new Map<string, ProvisioningKey>();
  readonly #boundKeys = new Map<string, BoundKey>();
  readonly #index = new SegmentIndex(this.#groups.values);
  readonly #bySpiffeId = new Map<string, ConnectorRecord>();
  readonly #byClaimant = new Map<string, ConnectorRecord>();
  readonly #byGroup = new Map<string, Map<string, ConnectorRecord>>();
  readonly #listeners = new Set<(changed: ConnectorsChanged) => void>();
  #changed = nothing();

  group(name: string): ConnectorGroup | undefined {
    return this.#groups.values.get(name);
  }

  groups(): Iterable<ConnectorGroup> {
    return this.#groups.values.values();
  }

  listGroups(query: PageQuery): Result<Page<ConnectorGroup>> {
    return this.#groups.page(query, ({ name }) => name);
  }

  segment(id: string): ConnectorSegment | undefined {
    return this.#segments.values.get(id);
  }

  segments(): Iterable<ConnectorSegment> {
    return this.#segments.values.values();
  }

  segmentsOf(group: string): readonly ConnectorSegment[] {
    return this.#index.segmentsOf(group);
  }

  servedOf(group: string): ServedView<ConnectorSegment> {
    return this.#index.servedOf(group);
  }

  groupsOf(segment: ConnectorSegment): readonly string[] {
    return this.#index.groupsOf(segment);
  }

  listSegments(group: string | undefined, query: PageQuery): Result<Page<ConnectorSegment>> {
    const matches = (segment: ConnectorSegment): boolean =>
      group === undefined || this.#index.groupsOf(segment).includes(group);
    return this.#segments.page(query, ({ id }) => id, matches);
  }

  connector(id: string): ConnectorRecord | undefined {
    return this.#connectors.values.get(id);
  }

  connectorBySpiffeId(id: SpiffeId): ConnectorRecord | undefined {
    return this.#bySpiffeId.get(id.uri);
  }

  connectorOf(claimant: string): ConnectorRecord | undefined {
    return this.#byClaimant.get(claimant);
  }

  connectors(): Iterable<ConnectorRecord> {
    return this.#connectors.values.values();
  }

  connectorsIn(group: string): Iterable<ConnectorRecord> {
    return (this.#byGroup.get(group) ?? NO_CONNECTORS).values();
  }

  get connectorCount(): number {
    return this.#connectors.values.size;
  }

  listConnectors(
    matches: (connector: ConnectorRecord) => boolean,
    query: PageQuery,
  ): Result<Page<ConnectorRecord>> {
    return this.#connectors.page(query, ({ id }) => id, matches);
  }

  provisioningKey(id: string): ProvisioningKey | undefined {
    return this.#provisioningKeys.get(id);
  }

  provisioningKeys(): Iterable<ProvisioningKey> {
    return this.#provisioningKeys.values();
  }

  boundKey(id: string): BoundKey | undefined {
    return this.#boundKeys.get(id);
  }

  boundKeys(): Iterable<BoundKey> {
    return this.#boundKeys.values();
  }

  onChange(listener: (changed: ConnectorsChanged) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Everything anew; what was there before counts as changed too. */
  load(snapshot: ConnectorSnapshot): void {
    this.#noteAll();
    this.#groups.clear();
    this.#segments.clear();
    this.#connectors.clear();
    this.#provisioningKeys.clear();
    this.#boundKeys.clear();
    this.#index.clear();
    this.#bySpiffeId.clear();
    this.#byClaimant.clear();
    this.#byGroup.clear();
    for (const group of snapshot.groups) this.#putGroup(group.name, group);
    for (const segment of snapshot.segments) this.#putSegment(segment.id, segment);
    for (const connector of snapshot.connectors) this.#putConnector(connector.id, connector);
    for (const key of snapshot.provisioningKeys) this.#provisioningKeys.set(key.id, key);
    for (const key of snapshot.boundKeys) this.#boundKeys.set(key.id, key);
  }

  /** Takes in what the feed tells. */
  apply(change: ConnectorFeedChange): void {
    switch (change.kind) {
      case 'connector-group':
        this.#putGroup(change.name, change.group);
        return;
      case 'connector-segment':
        this.#putSegment(change.id, change.segment);
        return;
      case 'connector':
        this.#putConnector(change.id, change.connector);
        return;
      case 'provisioning-key':
        putOrDrop(this.#provisioningKeys, change.id, change.key);
        return;
      case 'bound-key':
        putOrDrop(this.#boundKeys, change.id, change.key);
        return;
    }
  }

  /** Tells the listeners, once for all that came together; nothing where no more than keys did. */
  notify(): void {
    const changed = this.#changed;
    if (changed.groups.size + changed.segments.size + changed.connectors.size === 0) return;
    this.#changed = nothing();
    for (const listener of [...this.#listeners]) listener(changed);
  }

  #putGroup(name: string, group: ConnectorGroup | undefined): void {
    this.#groups.put(name, group);
    this.#index.changeGroup(name, this.#segments.values.values());
    this.#changed.groups.add(name);
  }

  #putSegment(id: string, segment: ConnectorSegment | undefined): void {
    const before = this.#segments.values.get(id);
    this.#segments.put(id, segment);
    for (const name of this.#index.changeSegment(before, segment)) this.#changed.groups.add(name);
    this.#changed.segments.add(id);
  }

  #putConnector(id: string, connector: ConnectorRecord | undefined): void {
    const before = this.#connectors.values.get(id);
    if (before !== undefined) this.#unindex(before);
    this.#connectors.put(id, connector);
    this.#changed.connectors.add(id);
    if (connector === undefined) return;
    this.#bySpiffeId.set(connector.spiffeId.uri, connector);
    this.#byClaimant.set(connector.claimant, connector);
    const group = this.#byGroup.get(connector.group) ?? new Map<string, ConnectorRecord>();
    this.#byGroup.set(connector.group, group.set(id, connector));
  }

  #unindex(connector: ConnectorRecord): void {
    const { id, claimant, spiffeId, group } = connector;
    // Another one may have come under its claimant before this line was read.
    if (this.#bySpiffeId.get(spiffeId.uri) === connector) this.#bySpiffeId.delete(spiffeId.uri);
    if (this.#byClaimant.get(claimant) === connector) this.#byClaimant.delete(claimant);
    const inGroup = this.#byGroup.get(group);
    inGroup?.delete(id);
    if (inGroup?.size === 0) this.#byGroup.delete(group);
  }

  #noteAll(): void {
    for (const name of this.#groups.values.keys()) this.#changed.groups.add(name);
    for (const id of this.#segments.values.keys()) this.#changed.segments.add(id);
    for (const id of this.#connectors.values.keys()) this.#changed.connectors.add(id);
  }
}

/**
 * The view with its writes.
 * @param write Waits for a write of the store and until the view shows it.
 */
export function connectorRegistry(
  view: Connectors,
  store: ConnectorStore,
  write: <T>(writing: Promise<Result<T>>) => Promise<Result<T>>,
): ConnectorRegistry {
  return {
    ...reads(view),
    get connectorCount() {
      return view.connectorCount;
    },
    writeConnectorGroups: (writes) => write(store.writeConnectorGroups(writes)),
    deleteConnectorGroups: (deletes, now) => write(store.deleteConnectorGroups(deletes, now)),
    writeConnectorSegments: (writes) => write(store.writeConnectorSegments(writes)),
    deleteConnectorSegments: (deletes) => write(store.deleteConnectorSegments(deletes)),
    createProvisioningKey: (key) => write(store.createProvisioningKey(key)),
    deleteProvisioningKeys: (ids) => write(store.deleteProvisioningKeys(ids)),
    registerBoundKey: (key) => write(store.registerBoundKey(key)),
    deleteBoundKeys: (ids) => write(store.deleteBoundKeys(ids)),
    enrolConnector: (enrolment) => write(store.enrolConnector(enrolment)),
    changeConnector: (id, change) => write(store.changeConnector(id, change)),
    changeConnectors: (changes) => write(store.changeConnectors(changes)),
    deleteConnectors: (which) => write(store.deleteConnectors(which)),
  };
}

function reads(view: Connectors): Omit<ConnectorView, 'connectorCount'> {
  return {
    group: (name) => view.group(name),
    groups: () => view.groups(),
    listGroups: (query) => view.listGroups(query),
    segment: (id) => view.segment(id),
    segments: () => view.segments(),
    segmentsOf: (group) => view.segmentsOf(group),
    servedOf: (group) => view.servedOf(group),
    groupsOf: (segment) => view.groupsOf(segment),
    listSegments: (group, query) => view.listSegments(group, query),
    connector: (id) => view.connector(id),
    connectorBySpiffeId: (id) => view.connectorBySpiffeId(id),
    connectorOf: (claimant) => view.connectorOf(claimant),
    connectors: () => view.connectors(),
    connectorsIn: (group) => view.connectorsIn(group),
    listConnectors: (matches, query) => view.listConnectors(matches, query),
    provisioningKey: (id) => view.provisioningKey(id),
    provisioningKeys: () => view.provisioningKeys(),
    boundKey: (id) => view.boundKey(id),
    boundKeys: () => view.boundKeys(),
    onChange: (listener) => view.onChange(listener),
  };
}

function putOrDrop<T>(values: Map<string, T>, id: string, value: T | undefined): void {
  if (value === undefined) values.delete(id);
  else values.set(id, value);
}

function nothing(): {
  readonly groups: Set<string>;
  readonly segments: Set<string>;
  readonly connectors: Set<string>;
} {
  return { groups: new Set(), segments: new Set(), connectors: new Set() };
}
