import { plainText } from '../base/plain-text.ts';
import { randomFraction } from '../base/random.ts';
import { fail, type Result } from '../base/result.ts';
import {
  type Hello,
  ResourceType,
  type ResourceVersion,
  type SegmentHealth,
  ServerMessage,
  type X509Svid,
} from '../gen/signet/connector/v1/connector.ts';
import type { SvidFacts } from '../policy/svid-facts.ts';
import { Encoded, type ResponseStream } from '../rpc/service.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { Due } from './deadlines.ts';
import type { CommandKind, Presence } from './live.ts';
import { clockOffsetOf } from './said-numbers.ts';
import type { SegmentMessages } from './segment-feed.ts';
import type { SegmentHealthTable } from './segment-health.ts';
import type { SessionContext } from './session-context.ts';
import { MISSED_HEARTBEATS } from './state.ts';

/** Heartbeats that may stay out before a connector is asked for one. */
const PING_AFTER = 2;

/** Most commands that wait for one connector to answer. */
const MAX_COMMANDS = 16;

/** A connector that has not answered what it was sent for so long counts as degraded. */
const ANSWER_WAIT_MS = 60_000;

/** How long after it was asked to renew a connector is asked again. */
const RENEW_AGAIN_MS = 60_000;

/** How long a connector has to come back with its renewed SVID before it is asked to renew again. */
const RETURN_WAIT_MS = 600_000;

/** Over how long renewals are spread when an authority is no longer good. */
const TAINT_SPREAD_MS = 20_000;

/** Longest version that a connector is believed to hold, in characters. */
const MAX_VERSION = 128;

/** What a session begins with. */
export interface SessionStart {
  readonly record: ConnectorRecord;
  readonly facts: SvidFacts;
  /** Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly remoteAddress: string;
  readonly stream: ResponseStream<unknown>;
  readonly hello: Hello;
}

interface SegmentsUnderWay {
  readonly messages: SegmentMessages;
  /** Chunks that were written. */
  written: number;
  readonly sinceMs: number;
}

/**
 * One open session. What it has to send is worked out from what the connector has accepted and what it
 * should have, each time that there is room: nothing queues up for one that reads slowly.
 */
export class ConnectorSession implements Presence, Due {
  slot = 0;
  record: ConnectorRecord;
  readonly facts: SvidFacts;
  readonly remoteAddress: string;
  readonly openedAtMs: number;
  /** By the monotonic clock: when it was last heard. */
  heardAtMs: number;
  lastHeardMs: number;
  health: 'ok' | 'degraded' | 'draining' = 'ok';
  reason = '';
  activeFlows = 0n;
  loadPercent = 0;
  clockOffsetMs = 0;
  lastNack = '';
  targets: SegmentHealthTable | undefined;
  unknownMessages = 0;
  /** Whether it said that it leaves for good. */
  isLeaving = false;
  acceptedSegments = '';
  acceptedBundle = '';
  acceptedSvid = '';
  /** Sent, and not answered yet. */
  segmentsUnderWay: SegmentsUnderWay | undefined;
  svidUnderWay: { readonly version: string; readonly nonce: Buffer } | undefined;
  /** Nonces of commands that were not answered yet. */
  readonly commandsUnderWay: Buffer[] = [];
  /** Refused by the connector: not sent again; the next version comes in full. */
  refusedSegments = '';
  refusedBundle = '';
  readonly #context: SessionContext;
  readonly #stream: ResponseStream<unknown>;
  readonly #ended = Promise.withResolvers<Result<void>>();
  #over = false;
  #isFull = false;
  #welcome: Encoded | undefined;
  #sentBundle = '';
  #svid: Encoded | undefined;
  readonly #commands: CommandKind[] = [];
  #notices: Encoded[] = [];
  /** When it was heard last before it was asked for a heartbeat; asked once in each silence. */
  #pingedSinceMs = Number.NaN;
  #isToPing = false;
  /** The deadline that it was told to drain by; 0 where it was not told. */
  #toldDrainMs = 0;
  #renewAtMs: number;
  #isRenewed = false;
  #renewReason = 'half of the life of its SVID has passed';
  #bundleNonce: Buffer = Buffer.alloc(0);

  constructor(context: SessionContext, start: SessionStart) {
    const nowMs = context.clock.nowMs();
    this.#context = context;
    this.#stream = start.stream;
    this.record = start.record;
    this.facts = start.facts;
    this.remoteAddress = start.remoteAddress;
    this.openedAtMs = nowMs;
    this.lastHeardMs = nowMs;
    this.heardAtMs = context.clock.monotonicMs();
    this.clockOffsetMs = clockOffsetOf(start.hello.clockMs, nowMs);
    const lifeMs = start.facts.notAfterSeconds * 1000 - start.notBeforeMs;
    // About half of its life, not all of a group that enrolled together at once.
    this.#renewAtMs = start.notBeforeMs + lifeMs * (0.45 + 0.1 * randomFraction(context.random));
    this.#takeVersions(start.hello.versions);
    this.#welcome = this.#makeWelcome(nowMs);
  }

  /** How the session ends. */
  get ended(): Promise<Result<void>> {
    return this.#ended.promise;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Nonce of the bundle that was sent last. */
  get bundleUnderWay(): { readonly version: string; readonly nonce: Buffer } {
    return { version: this.#sentBundle, nonce: this.#bundleNonce };
  }

  get unanswered(): string {
    const under = this.segmentsUnderWay;
    if (under === undefined) return '';
    const waitedMs = this.#context.clock.monotonicMs() - under.sinceMs;
    return waitedMs < ANSWER_WAIT_MS ? '' : `no answer to segments ${under.messages.version}`;
  }

  versions(): ResourceVersion[] {
    return [
      { type: ResourceType.RESOURCE_TYPE_SVID, version: this.acceptedSvid },
      { type: ResourceType.RESOURCE_TYPE_BUNDLE, version: this.acceptedBundle },
      { type: ResourceType.RESOURCE_TYPE_SEGMENTS, version: this.acceptedSegments },
    ].filter(({ version }) => version !== '');
  }

  segmentHealth(): SegmentHealth[] {
    return [...(this.targets?.all() ?? [])];
  }

  /** Takes another state of its record. */
  changed(record: ConnectorRecord | undefined): void {
    if (record !== undefined) this.record = record;
    this.judge();
    this.wake();
  }

  /** Ends the session where its connector may no longer hold one. */
  judge(): void {
    if (this.#over || this.isLeaving) return;
    const judged = this.#context.judge(this.facts);
    if (judged.ok) return;
    const { error } = judged;
    if (error.code === 'CONNECTOR_NOT_ACTIVE') {
      // It came back with its newer SVID, whose use ended this one: not a refusal of the connector.
      this.end(fail('CONNECTOR_SESSION_REPLACED', 'the connector is here with its newer SVID'));
      return;
    }
    if (error.code === 'CONNECTOR_REVOKED') {
      const reason = this.record.reason === '' ? error.message : this.record.reason;
      this.#stream.write(this.#command({ $case: 'revoke', value: { reason } }));
    }
    this.end({ ok: false, error });
  }

  /** Gives it a command; false where too many wait. */
  tell(command: CommandKind): boolean {
    if (this.#over || this.#commands.length + this.commandsUnderWay.length >= MAX_COMMANDS) {
      return false;
    }
    if (command.$case === 'collectDiagnostics') this.#context.diagnostics.asked(this.record.id);
    this.#commands.push(command);
    this.wake();
    return true;
  }

  /** Tells it what was not taken; of many at once only the first are told. */
  notify(code: string, message: string, action: string): void {
    if (this.#notices.length >= MAX_COMMANDS) return;
    this.#notices.push(encode({ $case: 'notice', value: { code, message, action } }));
    this.wake();
  }

  /** Has it renew soon: an authority above its SVID is no longer good. */
  renewSoon(): void {
    if (this.#isRenewed) return;
    const { clock, random } = this.#context;
    const soonMs = clock.nowMs() + TAINT_SPREAD_MS * randomFraction(random);
    this.#renewAtMs = Math.min(this.#renewAtMs, soonMs);
    this.#renewReason = 'an authority above its SVID is no longer relied on';
  }

  /** Hands out its renewed SVID. */
  renewed(svid: X509Svid): void {
    const nonce = this.#nonce();
    const version = svid.serialNumber;
    this.svidUnderWay = { version, nonce };
    this.#svid = encode({ $case: 'svid', value: { svid, version, nonce } });
    // It comes back with it; one that does not is asked again.
    this.#isRenewed = true;
    this.#renewAtMs = this.#context.clock.nowMs() + RETURN_WAIT_MS;
    this.wake();
  }

  /** Ends the session with this outcome; only the first one counts. */
  end(outcome: Result<void>): void {
    if (this.#over) return;
    this.#over = true;
    this.targets?.close();
    this.#ended.resolve(outcome);
  }

  /** Looks at its deadlines; answers when to look again, in milliseconds. */
  due(): number {
    const { clock, heartbeatSeconds, renewals } = this.#context;
    if (this.#over) return Number.POSITIVE_INFINITY;
    const silentMs = clock.monotonicMs() - this.heardAtMs;
    const graceMs = MISSED_HEARTBEATS * heartbeatSeconds * 1000;
    if (silentMs >= graceMs) {
      const message = `nothing was heard of the connector for ${Math.round(silentMs / 1000)} s`;
      this.end(fail('CONNECTOR_SESSION_SILENT', message));
      return Number.POSITIVE_INFINITY;
    }
    this.judge();
    const pingInMs = PING_AFTER * heartbeatSeconds * 1000 - silentMs;
    if (pingInMs <= 0) this.#ping();
    const silenceMs = pingInMs > 0 ? pingInMs : graceMs - silentMs;
    const nowMs = clock.nowMs();
    if (nowMs >= this.#renewAtMs && !renewals.isRunning(this.record.id)) this.#askToRenew(nowMs);
    const expiryMs = (this.facts.notAfterSeconds + 1) * 1000 - nowMs;
    return Math.min(silenceMs, expiryMs, this.#renewAtMs - nowMs);
  }

  /** Sends what there is to send, as far as the connector takes it. */
  wake(): void {
    while (!this.#over && !this.#isFull) {
      const message = this.#next();
      if (message === undefined) return;
      if (this.#stream.write(message)) continue;
      this.#isFull = true;
      void this.#stream.drained().then(() => {
        this.#isFull = false;
        this.wake();
      });
    }
  }

  #next(): Encoded | undefined {
    if (this.#welcome !== undefined) {
      const welcome = this.#welcome;
      this.#welcome = undefined;
      return welcome;
    }
    if (this.#isToPing) {
      this.#isToPing = false;
      const serverTimeMs = BigInt(Math.floor(this.#context.clock.nowMs()));
      return encode({ $case: 'ping', value: { serverTimeMs } });
    }
    return (
      this.#notices.shift() ?? this.#nextBundle() ?? this.#nextCommand() ?? this.#nextSegments()
    );
  }

  #nextBundle(): Encoded | undefined {
    const bundle = this.#context.bundle(this.record.group);
    if (bundle === undefined) return undefined;
    const { version, nonce, encoded } = bundle;
    const isKnown = version === this.#sentBundle || version === this.refusedBundle;
    if (isKnown || (this.#sentBundle === '' && version === this.acceptedBundle)) return undefined;
    this.#sentBundle = version;
    this.#bundleNonce = nonce;
    return encoded;
  }

  #nextCommand(): Encoded | undefined {
    const { standing, drainDeadlineMs, reason } = this.record;
    const drainMs = standing === 'draining' ? drainDeadlineMs : 0;
    // One that left, or was revoked, while it drained is not told to take flows again.
    const isHeld = standing === 'draining' || standing === 'enrolled';
    if (isHeld && drainMs !== this.#toldDrainMs) {
      this.#toldDrainMs = drainMs;
      if (drainMs === 0) return this.#command({ $case: 'resume', value: {} });
      const value = { deadlineMs: BigInt(Math.round(drainMs)), reason };
      return this.#command({ $case: 'drain', value });
    }
    const svid = this.#svid;
    this.#svid = undefined;
    if (svid !== undefined) return svid;
    const command = this.#commands.shift();
    return command === undefined ? undefined : this.#command(command);
  }

  #nextSegments(): Encoded | undefined {
    const { clock } = this.#context;
    const { group } = this.record;
    if (this.segmentsUnderWay === undefined) {
      const { version } = this.#context.segments(group);
      if (version === this.acceptedSegments || version === this.refusedSegments) return undefined;
      // After a refusal nobody knows what it is left with.
      const from = this.refusedSegments === '' ? this.acceptedSegments : '';
      const messages = this.#context.messagesFrom(group, from);
      this.segmentsUnderWay = { messages, written: 0, sinceMs: clock.monotonicMs() };
    }
    const under = this.segmentsUnderWay;
    const chunk = under.messages.chunks[under.written];
    if (chunk !== undefined) under.written++;
    return chunk;
  }

  #command(kind: CommandKind): Encoded {
    const nonce = this.#nonce();
    this.commandsUnderWay.push(nonce);
    if (this.commandsUnderWay.length > MAX_COMMANDS) this.commandsUnderWay.shift();
    if (kind.$case === 'collectDiagnostics') this.#context.diagnostics.sent(this.record.id, nonce);
    return encode({ $case: 'command', value: { nonce, kind } });
  }

  /**
   * Asks for a heartbeat: one that is well answers at once. To one that is gone it writes, by which its own
   * machine, or the way there, can say so before the time is up.
   */
  #ping(): void {
    if (this.#over || this.#pingedSinceMs === this.heardAtMs) return;
    this.#pingedSinceMs = this.heardAtMs;
    this.#isToPing = true;
    this.wake();
  }

  #askToRenew(nowMs: number): void {
    this.#renewAtMs = nowMs + RENEW_AGAIN_MS;
    // Whatever else it leaves unanswered must not cost it its identity; one is enough for one that reads slowly.
    if (this.#commands.some(({ $case }) => $case === 'renewNow')) return;
    this.#commands.unshift({ $case: 'renewNow', value: { reason: this.#renewReason } });
    this.wake();
  }

  #takeVersions(versions: readonly ResourceVersion[]): void {
    for (const { type, version } of versions) {
      // None of ours, then: it would be shown to operators.
      if (version !== plainText(version, MAX_VERSION)) continue;
      if (type === ResourceType.RESOURCE_TYPE_SEGMENTS) this.acceptedSegments = version;
      if (type === ResourceType.RESOURCE_TYPE_BUNDLE) this.acceptedBundle = version;
      if (type === ResourceType.RESOURCE_TYPE_SVID) this.acceptedSvid = version;
    }
  }

  #makeWelcome(nowMs: number): Encoded {
    const { heartbeatSeconds } = this.#context;
    const value = {
      connectorId: this.record.id,
      serverTimeMs: BigInt(Math.floor(nowMs)),
      heartbeatSeconds,
      clockOffsetMs: BigInt(Math.round(this.clockOffsetMs)),
      offlineSeconds: this.#context.offlineSeconds(this.record.group),
      reconnectSpreadMs: this.#context.reconnectSpreadMs(),
    };
    return encode({ $case: 'welcome', value });
  }

  #nonce(): Buffer {
    return Buffer.from(this.#context.random.bytes(8));
  }
}

function encode(kind: ServerMessage['kind']): Encoded {
  return new Encoded(Buffer.from(ServerMessage.encode({ kind }).finish()));
}
