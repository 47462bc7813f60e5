import { type BackOffOptions, fullJitterMs } from '../../src/base/back-off.ts';
import type { Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { type Random, randomFraction } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { Heartbeat, Hello, Instance } from '../../src/gen/signet/connector/v1/connector.ts';
import { createRateLimiter, type RateLimiter } from '../../src/rpc/rate-limiter.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { ClockOffset } from '../identity/clock-offset.ts';
import type { StateFile } from '../state-file.ts';
import { type HeldBundles, restoreBundles } from './bundles.ts';
import type { ConnectorConfig } from './config.ts';
import { createConnectorDialler, type DialConnector } from './dial.ts';
import { enrol } from './enrol.ts';
import type { CompanionMetrics } from './metrics.ts';
import { type ConnectorSvid, ownRenewalMs, restoreConnectorSvid } from './own-svid.ts';
import { refusalOf } from './refusal.ts';
import type { SegmentSet } from './segments.ts';
import { type MessageSink, ServerMessages } from './server-messages.ts';
import { chooseServer } from './server-place.ts';
import { type ConnectorKind, Session } from './session.ts';
import type { ConnectorState } from './state.ts';
import { SvidWatch } from './svid-watch.ts';
import { connectorTrust } from './trust.ts';
import { askVendorKey } from './vendor-key.ts';

/** What becomes of the link, for the companion to act on. */
export interface LinkEvents
  extends Omit<MessageSink, 'svid' | 'bundles' | 'renewed' | 'bundlesChanged' | 'reEnrol'> {
  /** Another SVID, or other bundles, are in use. */
  changed(): void;
  /** A session that was up has ended. */
  lost(): void;
  /** An enrolment failed. */
  notEnrolled(reason: string): void;
  /** The node of the connector may not be served now: no flows until a session is up again. */
  suspended(reason: string): void;
  hello(): Hello;
  heartbeat(): Promise<Heartbeat>;
}

/** What the link needs. */
export interface LinkParts {
  readonly config: ConnectorConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly state: StateFile<ConnectorState>;
  readonly segments: SegmentSet;
  readonly offset: ClockOffset;
  readonly metrics: CompanionMetrics;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly instance: Instance;
  readonly events: LinkEvents;
}

/** What is added at random to the wait that a server that paces has drawn itself, in milliseconds. */
const PACED_MS = 1000;

/** Rounds that follow one another at once: no server may make it spin. */
const AT_ONCE = { perSecond: 0.1, burst: 10 };

/** Longest spread that a server may ask for, in milliseconds. */
const MAX_SPREAD_MS = 3_600_000;

/** What a round came to: go on at once, or wait first. */
type Round = 'at once' | 'wait';

/**
 * The connector's link to its servers. Enrolling → session ⇄ waiting; the end of the SVID, or a refusal of
 * it, leads back to enrolling. Left, it opens nothing more.
 */
export class Link {
  readonly #parts: LinkParts;
  readonly #dial: DialConnector;
  #svid: ConnectorSvid | undefined;
  #bundles: HeldBundles | undefined;
  #session: Session | undefined;
  #messages: ServerMessages | undefined;
  #failures = 0;
  #tries = 0;
  #holdMs = 0;
  /** What the server asked for in Welcome. */
  #spreadMs = 0;
  #paced = false;
  #mustEnrol: 'no' | 'same key' | 'new key' = 'no';
  #redial = false;
  #stopping = false;
  #left = false;
  #wake: () => void = () => {};
  readonly #watch: SvidWatch;
  readonly #atOnce: RateLimiter;
  readonly #over = new AbortController();
  /** Resolves with the first SVID, or when there will be none. */
  readonly #begun = Promise.withResolvers<void>();
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#dial = createConnectorDialler({ ...parts, ...parts.config });
    this.#atOnce = createRateLimiter({ limit: AT_ONCE, clock: parts.clock });
    this.#watch = new SvidWatch({
      clock: parts.clock,
      onDue: () => this.#renewOwn(),
      onEnd: () => this.#endSession(),
    });
  }

  get svid(): ConnectorSvid | undefined {
    return this.#svid;
  }

  get bundles(): HeldBundles | undefined {
    return this.#bundles;
  }

  /** Whether a server has welcomed the session that is open. */
  get up(): boolean {
    return this.#session?.up ?? false;
  }

  /** Whether it was left. */
  get left(): boolean {
    return this.#left;
  }

  /** Goes on with what is stored, or enrols. Answers at once. Fails with COMPANION_STATE_CORRUPT. */
  start(): Result<void> {
    const { state, log, config } = this.#parts;
    const svid = restoreConnectorSvid(state.current);
    if (svid !== undefined && !svid.ok) return svid;
    const bundles = restoreBundles(state.current.bundles, config.trustDomain.name);
    if (bundles !== undefined && !bundles.ok) return bundles;
    this.#bundles = bundles?.value;
    if (svid !== undefined && bundles !== undefined) {
      log.info({ spiffeId: svid.value.id.uri }, 'going on with the stored SVID');
      this.#use(svid.value);
    }
    this.#loop = this.#run();
    return ok(undefined);
  }

  /**
   * The vendor's provisioning key of the group, as soon as there is an SVID to ask by. Fails with
   * COMPANION_PROOF where it is stopped before, or the SVID was taken back.
   */
  async vendorKey(): Promise<Result<string>> {
    await this.#begun.promise;
    if (this.#svid === undefined) return fail('COMPANION_PROOF', 'not enrolled yet');
    const trust = await this.#trust();
    if (!trust.ok) return trust;
    return askVendorKey(this.#dial(this.#place(), trust.value, this.#svid.tls));
  }

  /** Sends a message where a session is open. */
  send(kind: ConnectorKind): void {
    this.#session?.send(kind);
  }

  /** Sends a heartbeat where a session is up. */
  beat(): void {
    if (this.up) void this.#session?.beat();
  }

  /** Ends the session after what was sent has left, and opens no other. */
  leave(): void {
    this.#left = true;
    this.#over.abort();
    this.#session?.end();
    this.#wake();
  }

  /** Forgets the SVID: it is worth nothing any more. */
  forget(): void {
    this.#watch.close();
    this.#svid = undefined;
  }

  /** Ends everything; what is stored stays. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#begun.resolve();
    this.#over.abort();
    this.#watch.close();
    if (this.#left) this.#session?.end();
    else this.#session?.abort();
    this.#wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { config, random } = this.#parts;
    const firstMs = config.session.reconnectWithin * 1000;
    const waits = { firstMs, maxMs: Math.max(firstMs, config.session.reconnectAtMost * 1000) };
    while (!this.#stopping) {
      const round = this.#left ? 'left' : await this.#round();
      if (this.#stopping || (round === 'at once' && this.#atOnce.take(''))) continue;
      const jitterMs = this.#paced ? PACED_MS * randomFraction(random) : this.#jitterMs(waits);
      const waitMs = jitterMs + this.#holdMs;
      this.#holdMs = 0;
      this.#paced = false;
      await this.#pause(this.#left ? undefined : waitMs);
    }
  }

  #jitterMs(waits: BackOffOptions): number {
    this.#failures += 1;
    const { random } = this.#parts;
    return fullJitterMs({ ...waits, spreadMs: this.#spreadMs }, this.#failures, random);
  }

  #pause(ms: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = ms === undefined ? () => {} : this.#parts.clock.after(ms, resolve);
    this.#wake = resolve;
    if (this.#stopping) resolve();
    return promise.finally(cancel);
  }

  #round(): Promise<Round> {
    const svid = this.#svid;
    const nowMs = this.#parts.clock.nowMs();
    if (svid === undefined || nowMs >= svid.notAfterMs) return this.#enrol();
    // No session renews it: every other try is an enrolment then.
    const late = nowMs >= ownRenewalMs(svid) && this.#failures % 2 === 1;
    return late || this.#mustEnrol !== 'no' ? this.#enrol() : this.#follow(svid);
  }

  async #enrol(): Promise<Round> {
    const newKey = this.#mustEnrol === 'new key';
    // Another try is for the same new key: the server may have taken the first.
    if (newKey) this.#mustEnrol = 'same key';
    const trust = () => this.#trust();
    const { signal } = this.#over;
    const enrolled = await enrol({ ...this.#parts, dial: this.#dial, trust, signal }, newKey);
    if (signal.aborted) return 'wait';
    if (!enrolled.ok) return this.#notEnrolled(enrolled.error);
    const { svid, bundles } = enrolled.value;
    this.#parts.metrics.enrolled('ok');
    this.#mustEnrol = 'no';
    this.#bundles = bundles;
    this.#parts.log.info({ spiffeId: svid.id.uri, serial: svid.serial }, 'enrolled');
    this.#use(svid);
    return 'at once';
  }

  async #notEnrolled(error: SignetError): Promise<Round> {
    const { metrics, offset, log, events } = this.#parts;
    const { code, message, action, retryAfterMs } = refusalOf(error);
    metrics.enrolled(code);
    const reason = `${message}${offset.explain()}`;
    log.error({ code, reason, action }, 'not enrolled');
    this.#holdMs = retryAfterMs;
    if (code === 'CONNECTOR_REVOKED') await events.revoked(message);
    else events.notEnrolled(`${code}: ${reason}`);
    if (code === 'CONNECTOR_NODE') events.suspended(message);
    return 'wait';
  }

  #trust() {
    return connectorTrust({ ...this.#parts, held: this.#bundles?.own });
  }

  #place() {
    const { state, config, random } = this.#parts;
    this.#tries ||= Math.floor(randomFraction(random) * 1000);
    return chooseServer(state.current.sessionEndpoints, config.server, this.#tries);
  }

  async #follow(svid: ConnectorSvid): Promise<Round> {
    const { state, clock, events } = this.#parts;
    const trust = await this.#trust();
    if (!trust.ok) return this.#lost(trust.error);
    const channel = this.#dial(this.#place(), trust.value, svid.tls);
    if (!channel.ok) return this.#lost(channel.error);
    const messages = new ServerMessages({ ...this.#parts, sink: this.#sink() });
    const session = new Session({
      ...this.#parts,
      client: channel.value.client,
      hello: events.hello(),
      heartbeat: () => events.heartbeat(),
      onMessage: (message, of) => messages.take(message, of),
    });
    this.#messages = messages;
    this.#session = session;
    this.#redial = false;
    const error = await session.run();
    this.#session = undefined;
    channel.value.close();
    // Not after a revocation, which has removed the file.
    if (session.wasUp && this.#svid !== undefined)
      await state.save({ lastSessionMs: clock.nowMs() });
    events.lost();
    if (this.#redial || this.#left || this.#stopping) return 'at once';
    return this.#lost(channel.value.refusal() ?? error);
  }

  async #lost(error: SignetError | undefined): Promise<Round> {
    const { offset, log, events } = this.#parts;
    const refusal = error === undefined ? undefined : refusalOf(error);
    const { code, message = 'the server ended it', action } = refusal ?? {};
    const reason = `${message}${offset.explain()}`;
    log.warn({ code, reason, action }, 'no session');
    this.#tries += 1;
    this.#holdMs = refusal?.retryAfterMs ?? 0;
    this.#paced = code === 'CONNECTOR_SESSION_PACED';
    if (code === 'CONNECTOR_REVOKED') await events.revoked(reason);
    if (code === 'CONNECTOR_NODE') events.suspended(reason);
    if (refusal?.enrolAgain === true && this.#mustEnrol === 'no') this.#mustEnrol = 'same key';
    return 'wait';
  }

  #use(svid: ConnectorSvid): void {
    this.#svid = svid;
    this.#begun.resolve();
    this.#parts.events.changed();
    this.#watch.follow(svid);
  }

  /** In the session where one is up; without one the next round enrols. */
  #renewOwn(): void {
    const session = this.#session;
    if (session?.up === true) void this.#messages?.renew('two thirds of its life', session);
    else this.#wake();
  }

  #sink(): MessageSink {
    const link = this;
    const { events, log } = this.#parts;
    return {
      ...events,
      get svid() {
        return link.#svid;
      },
      get bundles() {
        return link.#bundles;
      },
      welcomed: (welcome) => {
        this.#failures = 0;
        this.#spreadMs = Math.min(welcome.reconnectSpreadMs, MAX_SPREAD_MS);
        events.welcomed(welcome);
      },
      renewed: (svid) => {
        this.#use(svid);
        this.#endSession();
      },
      bundlesChanged: (bundles) => {
        this.#bundles = bundles;
        events.changed();
      },
      reEnrol: (reason) => {
        log.info({ reason }, 'enrolling anew with a new key');
        this.#mustEnrol = 'new key';
        this.#endSession();
      },
    };
  }

  #endSession(): void {
    this.#redial = true;
    this.#session?.end();
    this.#wake();
  }
}
