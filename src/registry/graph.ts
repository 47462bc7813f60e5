import { MultiMap } from '../base/multi-map.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';
import { deviceIdOfAgent, serverUri } from '../rules/reserved-ids.ts';
import { isSubset, selectorSet } from '../rules/selector.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';

/** An agent in the graph. */
export interface AgentNode {
  readonly uri: string;
  readonly record: AgentRecord;
  /** Feed sequence since which its changes can be told entry by entry: selectors and standing are the same. */
  readonly selectorsSince: bigint;
  /** Selectors, and `spiffe_id:<its ID>`, which every agent has: by it an alias names one agent. */
  readonly selectors: ReadonlySet<string>;
  /** Parents that count as this agent: its ID and its aliases. Made on demand. */
  roots: readonly string[] | undefined;
}

/**
 * Entries and agents with the edges between them. An entry hangs below its parent ID; an agent
 * serves what hangs below its own ID or an alias of it, and on from there by SPIFFE IDs. An alias is
 * an entry below the server's ID whose selectors the agent has; it is not served itself.
 */
export class Graph {
  readonly entries = new Map<string, Entry>();
  readonly agents = new Map<string, AgentNode>();
  readonly #serverUri: string;
  readonly #byParent = new MultiMap<Entry>();
  readonly #bySpiffeId = new MultiMap<Entry>();
  /** Aliases by their first selector: an agent that has not this one does not match. */
  readonly #aliases = new MultiMap<Entry>();
  readonly #agentsBySelector = new MultiMap<AgentNode>();
  readonly #agentsByDevice = new MultiMap<AgentNode>();

  constructor(trustDomain: TrustDomain) {
    this.#serverUri = serverUri(trustDomain);
  }

  /** Entries with a SPIFFE ID. */
  withSpiffeId(uri: string): Iterable<Entry> {
    return this.#bySpiffeId.get(uri);
  }

  /** Entries right below a parent. */
  below(uri: string): Iterable<Entry> {
    return this.#byParent.get(uri);
  }

  /** Adds an entry, or replaces the one with its ID. */
  put(entry: Entry): void {
    this.remove(entry.id);
    this.entries.set(entry.id, entry);
    this.#byParent.add(entry.parentId.uri, entry);
    this.#bySpiffeId.add(entry.spiffeId.uri, entry);
    if (!this.#isAlias(entry)) return;
    this.#aliases.add(aliasKey(entry), entry);
    this.#forgetRoots(entry);
  }

  /** Takes an entry out. */
  remove(id: string): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    this.entries.delete(id);
    this.#byParent.remove(entry.parentId.uri, entry);
    this.#bySpiffeId.remove(entry.spiffeId.uri, entry);
    if (!this.#isAlias(entry)) return;
    this.#aliases.remove(aliasKey(entry), entry);
    this.#forgetRoots(entry);
  }

  /** Adds an agent, or replaces its record; `sequence` is that of the change. */
  putAgent(record: AgentRecord, sequence: bigint): void {
    const { uri } = record.id;
    const before = this.agents.get(uri);
    if (before !== undefined && sameSelectors(before.record, record)) {
      this.#replaceAgent(before, { ...before, record });
      return;
    }
    this.removeAgent(uri);
    const selectors = new Set([...selectorSet(record.selectors), `spiffe_id:${uri}`]);
    this.#addAgent({ uri, record, selectorsSince: sequence, selectors, roots: undefined });
  }

  /** What an agent may be told of changed otherwise than entry by entry, at a change of the feed. */
  renewAgent(uri: string, sequence: bigint): void {
    const node = this.agents.get(uri);
    if (node !== undefined) this.#replaceAgent(node, { ...node, selectorsSince: sequence });
  }

  /** Agents whose IDs name a device key: that of the DPU and those that it vouched for. */
  onDevice(deviceId: string): Iterable<AgentNode> {
    return this.#agentsByDevice.get(deviceId);
  }

  /** Takes an agent out. */
  removeAgent(uri: string): void {
    const node = this.agents.get(uri);
    if (node === undefined) return;
    this.agents.delete(uri);
    const deviceId = deviceIdOfAgent(node.record.id);
    if (deviceId !== undefined) this.#agentsByDevice.remove(deviceId, node);
    for (const selector of node.selectors) this.#agentsBySelector.remove(selector, node);
  }

  /** Takes out everything. */
  clear(): void {
    this.entries.clear();
    this.agents.clear();
    for (const index of [this.#byParent, this.#bySpiffeId, this.#aliases]) index.clear();
    this.#agentsBySelector.clear();
    this.#agentsByDevice.clear();
  }

  /** Everything that an agent serves. */
  authorized(node: AgentNode): Entry[] {
    const found: Entry[] = [];
    const parents = [...this.#rootsOf(node)];
    const seen = new Set(parents);
    for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
      for (const entry of this.#byParent.get(parent)) {
        found.push(entry);
        const { uri } = entry.spiffeId;
        if (seen.has(uri) || uri === this.#serverUri || !this.#byParent.has(uri)) continue;
        seen.add(uri);
        parents.push(uri);
      }
    }
    return found;
  }

  /** Whether an agent serves what hangs below a parent: climbs from there to one of its roots. */
  reaches(node: AgentNode, parentUri: string): boolean {
    const roots = this.#rootsOf(node);
    if (roots.includes(parentUri)) return true;
    for (const uri of this.#ancestors(parentUri)) if (roots.includes(uri)) return true;
    return false;
  }

  /** Whether an agent serves an entry. */
  serves(node: AgentNode, entry: Entry): boolean {
    return this.reaches(node, entry.parentId.uri);
  }

  /** Agents whose set of entries this one is in, or, for an alias, decides on. */
  agentsOf(entry: Entry): ReadonlySet<AgentNode> {
    if (this.#isAlias(entry)) return new Set(this.#agentsMatching(entry));
    const found = new Set<AgentNode>();
    for (const uri of this.#ancestors(entry.parentId.uri)) {
      const agent = this.agents.get(uri);
      if (agent !== undefined) found.add(agent);
      for (const above of this.#bySpiffeId.get(uri)) {
        if (!this.#isAlias(above)) continue;
        for (const node of this.#agentsMatching(above)) found.add(node);
      }
    }
    return found;
  }

  /**
   * Whether replacing `before` by `after` leaves alone who reaches what else: nothing hangs below the
   * entry, or the edge stays as it was.
   */
  isLeafChange(before: Entry | undefined, after: Entry | undefined): boolean {
    const sameEdge =
      before?.parentId.uri === after?.parentId.uri && before?.spiffeId.uri === after?.spiffeId.uri;
    for (const entry of [before, after]) {
      if (entry === undefined) continue;
      if (this.#isAlias(entry)) return false;
      if (!sameEdge && this.#byParent.has(entry.spiffeId.uri)) return false;
    }
    return true;
  }

  /** A parent and all that are above it, by the SPIFFE IDs of entries. */
  *#ancestors(parentUri: string): Generator<string> {
    const open = [parentUri];
    const seen = new Set(open);
    for (let uri = open.pop(); uri !== undefined; uri = open.pop()) {
      if (uri === this.#serverUri) continue;
      yield uri;
      for (const { parentId } of this.#bySpiffeId.get(uri)) {
        if (seen.has(parentId.uri)) continue;
        seen.add(parentId.uri);
        open.push(parentId.uri);
      }
    }
  }

  #isAlias(entry: Entry): boolean {
    return entry.parentId.uri === this.#serverUri;
  }

  #rootsOf(node: AgentNode): readonly string[] {
    // Two alias entries may give the same alias.
    node.roots ??= [...new Set([node.uri, ...this.#aliasIdsOf(node)])];
    return node.roots;
  }

  *#aliasIdsOf(node: AgentNode): Generator<string> {
    for (const selector of node.selectors) {
      for (const alias of this.#aliases.get(selector)) {
        if (isSubset(alias.selectors, node.selectors)) yield alias.spiffeId.uri;
      }
    }
  }

  *#agentsMatching(alias: Entry): Generator<AgentNode> {
    for (const node of this.#agentsBySelector.get(aliasKey(alias))) {
      if (isSubset(alias.selectors, node.selectors)) yield node;
    }
  }

  #forgetRoots(alias: Entry): void {
    for (const node of this.#agentsMatching(alias)) node.roots = undefined;
  }

  #addAgent(node: AgentNode): void {
    this.agents.set(node.uri, node);
    const deviceId = deviceIdOfAgent(node.record.id);
    if (deviceId !== undefined) this.#agentsByDevice.add(deviceId, node);
    for (const selector of node.selectors) this.#agentsBySelector.add(selector, node);
  }

  #replaceAgent(before: AgentNode, after: AgentNode): void {
    this.removeAgent(before.uri);
    this.#addAgent(after);
  }
}

function aliasKey(alias: Entry): string {
  return alias.selectors[0]?.text ?? '';
}

function sameSelectors(a: AgentRecord, b: AgentRecord): boolean {
  return (
    a.selectors.length === b.selectors.length &&
    a.selectors.every((selector, index) => selector.text === b.selectors[index]?.text)
  );
}
