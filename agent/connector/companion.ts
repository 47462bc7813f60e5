import type { Clock } from '../../src/base/clock.ts';
import { SignetError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/random.ts';
import type { Result } from '../../src/base/result.ts';
import type { Heartbeat } from '../../src/gen/signet/connector/v1/connector.ts';
import type { Health, HealthPart } from '../../src/runtime/health.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { Metrics } from '../../src/runtime/metrics.ts';
import { createClockOffset } from '../identity/clock-offset.ts';
import type { StateFile } from '../state-file.ts';
import { Conditions, clockAdvice } from './conditions.ts';
import type { ConnectorConfig } from './config.ts';
import { tellDiagnostics } from './diagnose.ts';
import { Drain, type DrainOutcome } from './drain.ts';
import { createFlowSource } from './flows.ts';
import { Hooks } from './hooks.ts';
import { instanceOf } from './instance.ts';
import { Link, type LinkEvents } from './link.ts';
import { addCompanionReadings, type CompanionMetrics, createCompanionMetrics } from './metrics.ts';
import { NOT_ENROLLED, Offline } from './offline.ts';
import { clipped, printable } from './printable.ts';
import { Publisher } from './publisher.ts';
import { Reports } from './reports.ts';
import type { SegmentSet } from './segments.ts';
import type { ConnectorState } from './state.ts';
import type { ConnectorWatcher } from './watcher.ts';

/** How often the moment of the last session is saved while it lasts, in milliseconds. */
const SAVE_SESSION_MS = 60_000;

/** What a companion is made of. */
export interface CompanionParts {
  readonly config: ConnectorConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly state: StateFile<ConnectorState>;
  readonly segments: SegmentSet;
  readonly watcher: ConnectorWatcher | undefined;
  /** Variables of the process: HTTPS_PROXY, names of pod and node. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Told to the server. */
  readonly version: string;
}

/**
 * The companion of one connector: acts on what its link to the servers brings. Serving ⇄ draining → left;
 * revoked from anywhere, which ends it.
 */
export class Companion {
  readonly #parts: CompanionParts;
  readonly #metrics: CompanionMetrics;
  readonly #offset = createClockOffset();
  readonly #conditions: Conditions;
  readonly #hooks: Hooks;
  readonly #publisher: Publisher;
  readonly #drain: Drain;
  readonly #offline: Offline;
  readonly #link: Link;
  readonly #reports: Reports;
  readonly #serving: HealthPart;
  readonly #identity: HealthPart;
  readonly #ended = Promise.withResolvers<SignetError>();
  readonly #segmentListeners = new Set<() => void>();
  #offlineReason: string | undefined;
  #revoking = false;
  #savedSessionMs = 0;
  #unwatch: () => void = () => {};

  constructor(parts: CompanionParts) {
    this.#parts = parts;
    const { config, clock, health, state } = parts;
    this.#metrics = createCompanionMetrics(parts.metrics);
    const instance = instanceOf(parts.version, parts.env);
    this.#conditions = new Conditions(() => this.#link.beat());
    this.#hooks = new Hooks({
      ...parts,
      settings: config.hooks,
      onRun: (event, problem) => {
        this.#metrics.hookRan(event, problem === undefined ? 'ok' : 'failed');
        this.#conditions.set(`hook ${event}`, problem);
      },
    });
    this.#publisher = new Publisher({
      ...parts,
      hooks: this.#hooks,
      conditions: this.#conditions,
      ready: health.part('outputs', 'the certificate files are not written yet'),
      onFailure: (what) => this.#metrics.notWritten(what),
    });
    const flows = createFlowSource(config.flows, parts.watcher);
    this.#serving = health.part('serving', 'starting');
    this.#identity = health.part('identity', 'not enrolled yet');
    this.#drain = new Drain({
      clock,
      flows,
      quietMs: config.drain.quiet * 1000,
      onBegin: (reason, deadlineMs) => this.#beginDrain(reason, deadlineMs),
      onResume: () => this.#resumed(),
    });
    this.#link = new Link({
      ...parts,
      offset: this.#offset,
      metrics: this.#metrics,
      instance,
      events: this.#events(),
    });
    this.#reports = new Reports({
      ...parts,
      instance,
      flows,
      conditions: this.#conditions,
      svid: () => this.#link.svid,
      bundles: () => this.#link.bundles,
      serving: () => this.#drain.state === 'serving',
    });
    this.#offline = new Offline({
      clock,
      svidEndMs: () => this.#link.svid?.notAfterMs,
      offlineSeconds: () => state.current.offlineSeconds,
      lastSessionMs: () => state.current.lastSessionMs,
      onChange: (reason) => this.#mayServe(reason),
    });
    this.#addReadings();
  }

  /** Resolves when it cannot go on: the connector was revoked. */
  get ended(): Promise<SignetError> {
    return this.#ended.promise;
  }

  /** Calls `listener` when the segments changed. Returns what ends that. */
  onSegments(listener: () => void): () => void {
    this.#segmentListeners.add(listener);
    return () => this.#segmentListeners.delete(listener);
  }

  /** Goes on with what is stored, or enrols. Answers at once. Fails with COMPANION_STATE_CORRUPT. */
  start(): Result<void> {
    const { watcher, segments } = this.#parts;
    const begun = this.#link.start();
    if (!begun.ok) return begun;
    this.#serving.ready();
    if (segments.version !== '') void this.#publisher.segments(segments);
    this.#unwatch = watcher?.onChange(() => this.#look()) ?? (() => {});
    this.#look();
    this.#offline.look();
    // It tells changes alone: with a stored SVID that will do there was none.
    if (this.#offlineReason === undefined) this.#identity.ready();
    return begun;
  }

  /**
   * Drains, says Goodbye and ends the session. Nothing is opened again until the process ends, unless the
   * server resumed the connector before it was drained.
   */
  async leave(timeoutMs?: number): Promise<DrainOutcome> {
    const { config, clock } = this.#parts;
    if (this.#link.svid === undefined) return this.#leaveUnenrolled();
    const limitMs = timeoutMs ?? config.drain.timeout * 1000;
    return this.#drainUntil(clock.nowMs() + limitMs, 'the connector is to leave');
  }

  /** The vendor's provisioning key of the group; each connector that asks is a use. */
  vendorKey(): Promise<Result<string>> {
    return this.#link.vendorKey();
  }

  /** Ends everything; what is stored stays. */
  async stop(): Promise<void> {
    this.#unwatch();
    this.#offline.close();
    this.#hooks.close();
    this.#publisher.close();
    await this.#link.stop();
    await this.#parts.state.settled();
  }

  /** What the local socket shows; no keys. */
  status(): object {
    const { config, state, segments, watcher } = this.#parts;
    const { svid } = this.#link;
    const iso = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());
    return {
      trustDomain: config.trustDomain.name,
      group: config.group,
      connectorId: state.current.connectorId ?? null,
      spiffeId: svid?.id.uri ?? null,
      serialNumber: svid?.serial ?? null,
      notBefore: iso(svid?.notBeforeMs),
      expiresAt: iso(svid?.notAfterMs),
      sessionUp: this.#link.up,
      state: this.#revoking ? 'revoked' : this.#drain.state,
      clockOffsetMs: this.#offset.ms ?? null,
      segmentsVersion: segments.version,
      segments: segments.size,
      activeFlows: this.#reports.flows ?? null,
      degraded: this.#conditions.all,
      ...(watcher === undefined ? {} : { [watcher.name]: watcher.current().facts }),
    };
  }

  #events(): LinkEvents {
    const { log } = this.#parts;
    return {
      changed: () => this.#changed(),
      lost: () => this.#offline.session(false),
      notEnrolled: (reason) => {
        if (this.#link.svid === undefined) this.#identity.notReady(printable(reason));
      },
      suspended: (reason) => this.#offline.suspend(`suspended: ${printable(reason)}`),
      hello: () => this.#reports.hello(),
      heartbeat: () => this.#heartbeat(),
      welcomed: ({ offlineSeconds, heartbeatSeconds }) => {
        this.#metrics.sessionBegan();
        this.#savedSessionMs = this.#parts.clock.nowMs();
        const lastSessionMs = this.#savedSessionMs;
        void this.#parts.state.save({ offlineSeconds, heartbeatSeconds, lastSessionMs });
        log.info('session is up');
        this.#conditions.set('clock', clockAdvice(this.#offset));
        this.#offline.session(true);
        this.#link.beat();
      },
      segmentsChanged: () => {
        void this.#publisher.segments(this.#parts.segments);
        this.#tellSegments();
      },
      drain: (deadlineMs, reason) => {
        const ownMs = this.#parts.clock.nowMs() + this.#parts.config.drain.timeout * 1000;
        // By the server's clock, which need not be ours.
        const untilMs = Math.round(deadlineMs - (this.#offset.ms ?? 0));
        void this.#drainUntil(deadlineMs > 0 ? untilMs : ownMs, reason);
      },
      // Not after Goodbye: that was the last word, whatever crossed it.
      resume: () => {
        if (!this.#link.left) this.#drain.resume();
      },
      revoked: (reason) => this.#revoked(reason),
      upgrade: ({ version, imageDigest, notBeforeMs, notAfterMs }) => {
        this.#event('upgrade', `to ${version} ${imageDigest}`, false);
        void this.#hooks.ask('upgrade', {
          SIGNET_VERSION: version,
          SIGNET_IMAGE_DIGEST: imageDigest,
          SIGNET_NOT_BEFORE_MS: String(notBeforeMs),
          SIGNET_NOT_AFTER_MS: String(notAfterMs),
        });
      },
      diagnose: (nonce) => void this.#diagnose(nonce),
    };
  }

  #changed(): void {
    const { svid, bundles } = this.#link;
    this.#offline.look();
    if (svid !== undefined && bundles !== undefined) {
      void this.#publisher.certificates({ svid, bundles });
    }
  }

  /** Without an SVID nothing was ever served, and there is nobody to say Goodbye to. */
  #leaveUnenrolled(): DrainOutcome {
    this.#serving.notReady('leaving');
    this.#link.leave();
    return { drained: true, openFlows: 0 };
  }

  async #drainUntil(deadlineMs: number, reason: string): Promise<DrainOutcome> {
    const outcome = await this.#drain.begin(deadlineMs, reason);
    if (this.#drain.state !== 'drained' || this.#link.left) return outcome;
    const { drained, openFlows } = outcome;
    this.#parts.log.info({ drained, openFlows }, 'leaving');
    this.#link.send({ $case: 'goodbye', value: { drained, openFlows: BigInt(openFlows) } });
    this.#link.leave();
    return outcome;
  }

  async #beginDrain(reason: string, deadlineMs: number): Promise<void> {
    this.#parts.log.info({ reason, deadlineMs }, 'draining');
    this.#serving.notReady('draining');
    this.#link.beat();
    await this.#hooks.ask('drain', {
      SIGNET_REASON: reason,
      SIGNET_DEADLINE_MS: String(deadlineMs),
    });
  }

  #resumed(): void {
    this.#parts.log.info('taking flows again');
    this.#serving.ready();
    void this.#hooks.ask('resume');
    this.#link.beat();
  }

  #mayServe(reason: string | undefined): void {
    const before = this.#offlineReason;
    this.#offlineReason = reason;
    if (reason === undefined) {
      this.#identity.ready();
      if (before !== undefined && before !== NOT_ENROLLED) void this.#hooks.ask('resume');
    } else if (reason !== NOT_ENROLLED) {
      this.#identity.notReady(reason);
      this.#parts.log.error({ reason }, 'the connector may not serve');
      void this.#hooks.ask('offline', { SIGNET_REASON: reason });
    }
  }

  async #revoked(reason: string): Promise<void> {
    if (this.#revoking) return;
    this.#revoking = true;
    const { log, state, segments } = this.#parts;
    log.error({ reason }, 'revoked');
    this.#serving.notReady('revoked');
    const removed = [await this.#publisher.remove(), await state.wipe(), await segments.wipe()];
    for (const { error } of removed.filter((one) => !one.ok)) {
      const { code, message, action } = error;
      log.error({ code, reason: message, action }, 'not removed: remove it yourself');
    }
    this.#link.forget();
    this.#tellSegments();
    await this.#hooks.ask('revoked', { SIGNET_REASON: reason });
    const message = `this connector was revoked: ${printable(reason)}`;
    this.#ended.resolve(new SignetError('COMPANION_REVOKED', message));
    // The acknowledgement goes first.
    setImmediate(() => this.#link.leave());
  }

  #tellSegments(): void {
    for (const listener of this.#segmentListeners) listener();
  }

  #diagnose(nonce: Buffer): Promise<void> {
    const send = (kind: Parameters<Link['send']>[0]): void => this.#link.send(kind);
    return tellDiagnostics({ hooks: this.#hooks, status: () => this.status(), send }, nonce);
  }

  #event(reason: string, message: string, warning: boolean): void {
    const unasked = { commandNonce: Buffer.alloc(0), more: false };
    const value = { reason, message: clipped(message), warning, ...unasked };
    this.#link.send({ $case: 'event', value });
  }

  #look(): void {
    const { watcher } = this.#parts;
    if (watcher === undefined) return;
    const { health, reason } = watcher.current();
    const degraded = health === 'degraded';
    this.#conditions.set(watcher.name, degraded ? reason || 'degraded' : undefined);
  }

  async #heartbeat(): Promise<Heartbeat> {
    const { clock, state } = this.#parts;
    this.#look();
    const beat = await this.#reports.heartbeat();
    const nowMs = clock.nowMs();
    // So that a killed process knows how long it was alone; no more than one write a minute.
    const due = nowMs - this.#savedSessionMs >= SAVE_SESSION_MS;
    if (due && this.#link.up && !this.#revoking) {
      this.#savedSessionMs = nowMs;
      void state.save({ lastSessionMs: nowMs });
    }
    return beat;
  }

  #addReadings(): void {
    addCompanionReadings(this.#parts.metrics, {
      clock: this.#parts.clock,
      svidEndMs: () => this.#link.svid?.notAfterMs,
      sessionUp: () => this.#link.up,
      offsetMs: () => this.#offset.ms,
      segments: () => this.#parts.segments.size,
      flows: () => this.#reports.flows,
      draining: () => this.#drain.state !== 'serving',
      degraded: () => this.#conditions.text !== '',
    });
  }
}
