import type { AgentRecord } from '../rules/entry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { ConnectorSession } from './session.ts';

interface NodeOfSessions {
  readonly id: SpiffeId;
  seen: AgentRecord | undefined;
  readonly sessions: Set<ConnectorSession>;
}

type FindAgent = (id: SpiffeId) => AgentRecord | undefined;

/** The open sessions of this server: one for each connector, by group, and by the node that vouches. */
export class SessionIndex {
  readonly #agent: FindAgent;
  readonly #byId = new Map<string, ConnectorSession>();
  readonly #byGroup = new Map<string, Set<ConnectorSession>>();
  readonly #nodes = new Map<string, NodeOfSessions>();

  constructor(agent: FindAgent) {
    this.#agent = agent;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): ConnectorSession | undefined {
    return this.#byId.get(id);
  }

  all(): Iterable<ConnectorSession> {
    return this.#byId.values();
  }

  groups(): Iterable<readonly [string, ReadonlySet<ConnectorSession>]> {
    return this.#byGroup;
  }

  /** Those of a group, also such as were replaced and have not ended yet. */
  of(group: string): Iterable<ConnectorSession> {
    return this.#byGroup.get(group) ?? [];
  }

  hasGroup(group: string): boolean {
    return this.#byGroup.has(group);
  }

  /** Takes a session in; answers the one that its connector had before. */
  add(session: ConnectorSession): ConnectorSession | undefined {
    const { id } = session.record;
    const before = this.#byId.get(id);
    this.#byId.set(id, session);
    this.#enter(session);
    return before;
  }

  /** Forgets a session; answers whether it was the one of its connector. */
  remove(session: ConnectorSession): boolean {
    const { id } = session.record;
    this.#withdraw(session);
    return this.#byId.get(id) === session && this.#byId.delete(id);
  }

  /** Changes a session's record by `change`: it stands where its new group and node are. */
  move(session: ConnectorSession, change: () => void): void {
    this.#withdraw(session);
    change();
    this.#enter(session);
  }

  /** Sessions whose node has changed since it was looked at last: its record is then another object. */
  *ofChangedNodes(): Iterable<ConnectorSession> {
    for (const node of this.#nodes.values()) {
      const agent = this.#agent(node.id);
      if (agent === node.seen) continue;
      node.seen = agent;
      yield* [...node.sessions];
    }
  }

  #enter(session: ConnectorSession): void {
    const { group, agentId } = session.record;
    const inGroup = this.#byGroup.get(group);
    if (inGroup === undefined) this.#byGroup.set(group, new Set([session]));
    else inGroup.add(session);
    if (agentId === undefined) return;
    const node = this.#nodes.get(agentId.uri);
    if (node !== undefined) node.sessions.add(session);
    else {
      const seen = this.#agent(agentId);
      this.#nodes.set(agentId.uri, { id: agentId, seen, sessions: new Set([session]) });
    }
  }

  #withdraw(session: ConnectorSession): void {
    const { group, agentId } = session.record;
    const inGroup = this.#byGroup.get(group);
    if (inGroup?.delete(session) === true && inGroup.size === 0) this.#byGroup.delete(group);
    const node = agentId === undefined ? undefined : this.#nodes.get(agentId.uri);
    if (node?.sessions.delete(session) === true && node.sessions.size === 0) {
      this.#nodes.delete(node.id.uri);
    }
  }
}
