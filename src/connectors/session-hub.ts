import type { Cancel, Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, type Result } from '../base/result.ts';
import type { GroupStatus } from '../gen/signet/connector/v1/admin.ts';
import type { SvidFacts } from '../policy/svid-facts.ts';
import type { ConnectorsChanged } from '../registry/connectors.ts';
import type { Registry } from '../registry/registry.ts';
import { createRateLimiter, type RateLimiter } from '../rpc/rate-limiter.ts';
import type { ConnectorInstance, ConnectorRecord } from '../rules/connector/record.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import type { Logger } from '../runtime/log.ts';
import { taintedX509KeyIds } from '../spiffe/bundle.ts';
import { BundleFeed, type BundleSources } from './bundle-feed.ts';
import { CloneWatch } from './clone-watch.ts';
import { Deadlines } from './deadlines.ts';
import { DiagnosticsTable } from './diagnostics.ts';
import { GroupFeeds } from './group-feeds.ts';
import { coverageOf, groupStatusOf, type StatusSources, segmentStatusOf } from './group-status.ts';
import { HeardWriter } from './heard-writer.ts';
import { isSaid } from './instance.ts';
import type { CommandKind, LiveConnectors, Presence, SegmentStatus } from './live.ts';
import { createOpenings, type Openings } from './openings.ts';
import { RenewalPace } from './renewal-pace.ts';
import { ConnectorSession, type SessionStart } from './session.ts';
import {
  noSessionCounts,
  type RenewConnector,
  type SessionContext,
  type SessionEvent,
} from './session-context.ts';
import { SessionIndex } from './session-index.ts';
import { type JudgedState, MISSED_HEARTBEATS, stateOf } from './state.ts';

/** How often deadlines and nodes are looked at, in milliseconds. */
const TICK_MS = 500;

/** How long what operators see is gathered before listeners are told, in milliseconds. */
const TELL_MS = 100;

/** Events of one connector that are written down. */
const EVENTS = { perSecond: 0.2, burst: 20 } as const;

/** What sessions stand on. */
export interface SessionHubOptions {
  readonly registry: Pick<
    Registry,
    | 'agent'
    | 'bundle'
    | 'connectors'
    | 'distrustedIssuingCas'
    | 'federation'
    | 'onBundle'
    | 'onIssuingCas'
    | 'onRevocations'
  > & { readonly dpus: Pick<Registry['dpus'], 'onChange'> };
  /** Whether the SVID that opened a session is still that of a connector that may hold one. */
  readonly judge: (facts: SvidFacts) => Result<unknown>;
  readonly crl:
    | (NonNullable<BundleSources['crl']> & { onChange(l: () => void): () => void })
    | undefined;
  readonly renew: RenewConnector;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly heartbeatSeconds: number;
  /** Sessions that may begin in a second; as many again at once. */
  readonly sessionsPerSecond: number;
}

/**
 * The sessions of this server, one for each connector: begins, ends, wakes and judges them as the registry
 * changes, and answers how connectors are.
 */
export class SessionHub implements LiveConnectors {
  readonly counts = noSessionCounts();
  readonly diagnostics: DiagnosticsTable;
  readonly context: SessionContext;
  readonly #options: SessionHubOptions;
  readonly #sessions: SessionIndex;
  readonly #feeds: GroupFeeds;
  readonly #bundles: BundleFeed;
  readonly #heard: HeardWriter;
  readonly #deadlines: Deadlines;
  readonly #clones: CloneWatch;
  readonly #openings: Openings;
  readonly #events: RateLimiter;
  readonly #servingSinceMs: number;
  readonly #status: StatusSources;
  readonly #closers: (() => void)[] = [];
  readonly #listeners = new Set<(ids: ReadonlySet<string>) => void>();
  #touched = new Set<string>();
  #telling: Cancel | undefined;
  #waking: Cancel | undefined;

  constructor(options: SessionHubOptions) {
    const { registry, clock, log } = options;
    this.#options = options;
    this.#servingSinceMs = clock.nowMs();
    this.#sessions = new SessionIndex((id) => registry.agent(id));
    this.diagnostics = new DiagnosticsTable(clock);
    this.#feeds = new GroupFeeds({
      view: registry.connectors,
      clock,
      isWatched: (group) => this.#sessions.hasGroup(group),
      onVersion: (group) => this.#wake(this.sessionsOf(group)),
    });
    this.#bundles = new BundleFeed({ registry, crl: options.crl });
    this.#heard = new HeardWriter({
      registry: registry.connectors,
      clock,
      onFault: ({ code }) =>
        log.warn({ code }, 'when connectors were heard cannot be written down; tried again'),
      onDamaged: (connector, { code }) =>
        log.error({ connector, code }, 'the record of a connector is damaged'),
    });
    this.#deadlines = new Deadlines(clock, TICK_MS, () => this.#lookAtNodes());
    this.#clones = new CloneWatch(clock);
    this.#openings = createOpenings(options);
    this.#events = createRateLimiter({ limit: EVENTS, clock });
    this.context = this.#makeContext();
    this.#status = {
      view: registry.connectors,
      stateOf: (connector) => this.stateOf(connector),
      segments: (group) => this.#feeds.current(group),
      sessionsOf: (group) => this.sessionsOf(group),
    };
    this.#follow();
  }

  /** Open sessions. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Sessions whose connectors do not have the newest segments. */
  get behind(): number {
    let behind = 0;
    for (const [group, sessions] of this.#sessions.groups()) {
      const { version } = this.#feeds.current(group);
      for (const session of sessions) if (session.acceptedSegments !== version) behind++;
    }
    return behind;
  }

  /** Lets a connector begin a session, or fails with CONNECTOR_SESSION_PACED and when to come again. */
  admit(id: string): Result<void> {
    const admitted = this.#openings.admit(id);
    if (!admitted.ok) this.counts.refused++;
    return admitted;
  }

  /** Begins a session; one that the connector had before ends. */
  open(start: SessionStart, instance: ConnectorInstance): ConnectorSession {
    const session = new ConnectorSession(this.context, start);
    const { id } = start.record;
    const before = this.#sessions.add(session);
    if (before !== undefined) this.#replaced(before, session);
    this.#deadlines.set(session, session.due());
    // One that says nothing of itself is still the one that it was.
    this.#heard.began(id, isSaid(instance) ? instance : undefined);
    this.#touch(id);
    // The call was judged before its first message was waited for.
    this.#changed(session);
    return session;
  }

  /** Forgets a session that is over. */
  leave(session: ConnectorSession): void {
    const { id } = session.record;
    this.#deadlines.delete(session);
    if (!this.#sessions.remove(session)) return;
    this.#heard.ended(id);
    this.#touch(id);
    // By then it is back, or lost.
    const graceMs = MISSED_HEARTBEATS * this.#options.heartbeatSeconds * 1000 + 2 * TICK_MS;
    const due = (): number => {
      this.#touch(id);
      return Number.POSITIVE_INFINITY;
    };
    this.#deadlines.set({ slot: 0, due }, graceMs);
  }

  sessionsOf(group: string): Iterable<ConnectorSession> {
    return this.#sessions.of(group);
  }

  stateOf(connector: ConnectorRecord): JudgedState {
    const { clock, heartbeatSeconds } = this.#options;
    return stateOf(connector, {
      session: this.#sessions.get(connector.id),
      lastHeardMs: this.#heard.waitingMs(connector.id),
      nowMs: clock.nowMs(),
      servingSinceMs: this.#servingSinceMs,
      heartbeatSeconds,
    });
  }

  presence(id: string): Presence | undefined {
    return this.#sessions.get(id);
  }

  isOpen(id: string): boolean {
    return this.#sessions.get(id) !== undefined;
  }

  wantedSegments(group: string): string {
    return this.#feeds.current(group).version;
  }

  groupStatus(name: string): GroupStatus {
    return groupStatusOf(this.#status, name);
  }

  segmentStatus(segment: ConnectorSegment): SegmentStatus {
    return segmentStatusOf(this.#status, segment);
  }

  /** How a group covers its segments now. */
  readonly coverage = (group: string) => coverageOf(this.#status, group);

  tell(id: string, command: CommandKind): boolean {
    return this.#sessions.get(id)?.tell(command) ?? false;
  }

  onChange(listener: (ids: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends what it does by itself and writes down what waits; sessions end with their listener. */
  async close(): Promise<void> {
    for (const closer of this.#closers.splice(0)) closer();
    this.#deadlines.close();
    this.#feeds.close();
    this.#telling?.();
    this.#waking?.();
    await this.#heard.close();
  }

  #makeContext(): SessionContext {
    const { registry, clock, random, judge, renew, heartbeatSeconds } = this.#options;
    const { connectors } = registry;
    return {
      clock,
      random,
      heartbeatSeconds,
      counts: this.counts,
      targets: { used: 0 },
      diagnostics: this.diagnostics,
      judge,
      renew,
      renewals: new RenewalPace(clock),
      segments: (group) => this.#feeds.current(group),
      messagesFrom: (group, version) => this.#feeds.messagesFrom(group, version),
      bundle: (group) => this.#bundles.of(this.#feeds.current(group)),
      offlineSeconds: (group) => connectors.group(group)?.offlineSeconds ?? 0,
      reconnectSpreadMs: () => this.#openings.spreadMs(connectors.connectorCount),
      stopped: (id, reason) => this.#stopped(id, reason),
      event: (connector, event) => this.#event(connector, event),
      touched: (id) => this.#touch(id),
    };
  }

  #follow(): void {
    const { registry, crl } = this.#options;
    const wakeAll = (): void => this.#wakeAll();
    const bundles = (): void => {
      this.#bundles.changed();
      wakeAll();
    };
    this.#closers.push(
      registry.connectors.onChange((changed) => this.#recordsChanged(changed)),
      registry.onBundle(bundles),
      registry.federation.onChange(bundles),
      registry.onIssuingCas(wakeAll),
      registry.onRevocations(wakeAll),
      registry.dpus.onChange(wakeAll),
      crl?.onChange(bundles) ?? (() => {}),
    );
  }

  #recordsChanged({ groups, connectors }: ConnectorsChanged): void {
    this.#feeds.changed(groups);
    for (const id of connectors) {
      this.#touch(id);
      const session = this.#sessions.get(id);
      if (session !== undefined) this.#changed(session);
    }
  }

  /** Gives a session its record as it stands now; another node may vouch for it. */
  #changed(session: ConnectorSession): void {
    const record = this.#options.registry.connectors.connector(session.record.id);
    this.#sessions.move(session, () => session.changed(record));
  }

  /** Judges and wakes all, once for what comes together. */
  #wakeAll(): void {
    this.#waking ??= this.#options.clock.after(0, () => {
      this.#waking = undefined;
      const { bundle, distrustedIssuingCas } = this.#options.registry;
      const tainted = bundle === undefined ? new Set<string>() : taintedX509KeyIds(bundle);
      for (const session of this.#sessions.all()) {
        const isTainted = (keyId: string): boolean =>
          tainted.has(keyId) || distrustedIssuingCas.has(keyId);
        if (session.facts.signerKeyIds.some(isTainted)) session.renewSoon();
        this.#deadlines.set(session, session.due());
        session.wake();
      }
    });
  }

  #wake(sessions: Iterable<ConnectorSession>): void {
    for (const session of sessions) session.wake();
  }

  #replaced(before: ConnectorSession, now: ConnectorSession): void {
    this.counts.replaced++;
    const { id } = now.record;
    before.end(fail('CONNECTOR_SESSION_REPLACED', `connector ${id} opened another session`));
    const isSameSvid = before.facts.serialDecimal === now.facts.serialDecimal;
    if (!isSameSvid || !this.#clones.replaced(id, before.remoteAddress, now.remoteAddress)) return;
    this.counts.cloneSuspicions++;
    const places = `${before.remoteAddress} and ${now.remoteAddress}`;
    const message = `one SVID opens sessions from ${places} in turn: its key may be in two places`;
    this.#event(now.record, { reason: 'CloneSuspected', message, warning: true });
  }

  #lookAtNodes(): void {
    for (const session of this.#sessions.ofChangedNodes()) session.judge();
  }

  async #stopped(id: string, reason: string): Promise<void> {
    const { registry, clock, log } = this.#options;
    const atSeconds = Math.floor(clock.nowMs() / 1000);
    const change = { kind: 'stopped', atSeconds, reason } as const;
    const changed = await registry.connectors.changeConnector(id, change);
    if (changed.ok) return;
    const { code } = changed.error;
    log.warn({ connector: id, code }, 'that a connector left cannot be written down');
  }

  #event({ id, group }: ConnectorRecord, { reason, message, warning }: SessionEvent): void {
    if (!this.#events.take(id)) {
      this.counts.eventsDropped++;
      return;
    }
    this.counts.events++;
    const facts = { connector: id, group, reason, message };
    if (warning) this.#options.log.warn(facts, 'event of a connector');
    else this.#options.log.info(facts, 'event of a connector');
  }

  #touch(id: string): void {
    if (this.#listeners.size === 0) return;
    this.#touched.add(id);
    this.#telling ??= this.#options.clock.after(TELL_MS, () => {
      this.#telling = undefined;
      const ids = this.#touched;
      this.#touched = new Set();
      for (const listener of [...this.#listeners]) listener(ids);
    });
  }
}
