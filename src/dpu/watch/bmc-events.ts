import { BackOff } from '../../base/back-off.ts';
import type { Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import type { Result } from '../../base/result.ts';
import type { BmcClient } from '../../redfish/bmc-client.ts';
import { type BmcEvent, followEvents } from '../../redfish/event-stream.ts';
import { pause } from '../../redfish/pace.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';

/** Pauses before a stream is opened again that ended or could not be opened. */
const RECONNECT = { firstMs: 1_000, maxMs: 300_000 };

/** A stream that lasted so long was no failure, in milliseconds. */
const STEADY_MS = 60_000;

/** How long a BMC without a stream is left alone, and one that refuses the account: minutes lock it. */
const ABSENT_MS = 3_600_000;

/** Least time between two looks for which events are the reason: a BMC may tell a lot, or be made to. */
const LOOK_PAUSE_MS = 30_000;

/** What is heard of a card that may mean another boot or another firmware. */
const RELEVANT =
  /reset|reboot|boot|power|componentintegrity|spdm|measurement|firmware|update|secureboot/i;

/** What following the events of BMCs stands on. */
export interface BmcEventsParts {
  /** A client of its own for each stream. */
  readonly openClient: (dpu: DpuRecord) => Promise<Result<BmcClient>>;
  /** The card behind a BMC is to be looked at. */
  readonly look: (serial: string, delayMs: number) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

interface Followed {
  /** Where the BMC is; another place is another stream. */
  readonly place: string;
  readonly stop: AbortController;
}

/** Whether an event is a reason to look at the card: nothing of it is believed beyond that. */
export function isReason({ messageId, origin }: BmcEvent): boolean {
  return RELEVANT.test(messageId) || /\/(ComponentIntegrity|UpdateService)(\/|$)/.test(origin);
}

/**
 * Follows what BMCs say has happened, one stream for each card that is watched. An event, and a stream that is
 * there again after it broke off, are reasons for a look and no more. Where a BMC has no stream the watch's own
 * looks have to do. States: open → closed.
 */
export class BmcEvents {
  readonly #parts: BmcEventsParts;
  readonly #followed = new Map<string, Followed>();
  /** When each card was, or will be, looked at for an event. */
  readonly #lookMs = new Map<string, number>();
  readonly #events: ReturnType<Metrics['counter']>;

  constructor(parts: BmcEventsParts) {
    this.#parts = parts;
    this.#events = parts.metrics.counter('bmc_events_total', 'Events of BMCs that led to a look.');
    parts.metrics.reading(
      'bmc_event_streams',
      'Streams of events that are wanted from BMCs',
      () => {
        return this.#followed.size;
      },
    );
  }

  /** Follows the BMCs of these cards, and no others any more. */
  follow(dpus: readonly DpuRecord[]): void {
    const wanted = new Map(dpus.map((dpu) => [dpu.serial, dpu]));
    for (const [serial, { place, stop }] of this.#followed) {
      const dpu = wanted.get(serial);
      if (dpu !== undefined && placeOf(dpu) === place) continue;
      stop.abort();
      this.#followed.delete(serial);
      if (dpu === undefined) this.#lookMs.delete(serial);
    }
    for (const [serial, dpu] of wanted) {
      if (this.#followed.has(serial)) continue;
      const stop = new AbortController();
      this.#followed.set(serial, { place: placeOf(dpu), stop });
      void this.#run(dpu, stop.signal);
    }
  }

  /** Ends every stream. */
  close(): void {
    this.follow([]);
  }

  async #run(dpu: DpuRecord, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#parts;
    const backOff = new BackOff(RECONNECT, random);
    let broke = false;
    while (!signal.aborted) {
      let openedMs = Number.POSITIVE_INFINITY;
      const ended = await this.#once(dpu, signal, () => {
        openedMs = clock.monotonicMs();
        // What happened while nobody listened is not told again.
        if (broke) this.#reason(dpu.serial);
      });
      if (signal.aborted) return;
      broke = true;
      if (clock.monotonicMs() - openedMs >= STEADY_MS) backOff.reset();
      const absent = !ended.ok && isAbsent(ended.error);
      const pauseMs = absent ? ABSENT_MS : backOff.next();
      const { code, message: reason } = ended.ok ? { code: '', message: '' } : ended.error;
      log.debug({ dpu: dpu.serial, code, reason, pauseMs }, 'no events from the BMC');
      await pause(clock, pauseMs, signal);
    }
  }

  async #once(dpu: DpuRecord, signal: AbortSignal, onOpen: () => void): Promise<Result<void>> {
    const client = await this.#parts.openClient(dpu);
    if (!client.ok) return client;
    try {
      const onEvent = (event: BmcEvent): void => {
        if (isReason(event)) this.#reason(dpu.serial);
      };
      return await followEvents(client.value, onEvent, signal, onOpen);
    } finally {
      await client.value.close();
    }
  }

  #reason(serial: string): void {
    const { clock, look } = this.#parts;
    this.#events.inc();
    const now = clock.monotonicMs();
    const last = this.#lookMs.get(serial);
    // One that is due already comes after this event too.
    if (last !== undefined && last > now) return;
    const due = last === undefined ? now : Math.max(now, last + LOOK_PAUSE_MS);
    this.#lookMs.set(serial, due);
    look(serial, due - now);
  }
}

function placeOf({ bmc }: DpuRecord): string {
  return `${bmc?.host} ${bmc?.port} ${bmc?.tlsPin}`;
}

/** What lasts: there is no such stream, or the account is no use. */
function isAbsent({ code, retryable }: SignetError): boolean {
  return !retryable && code !== 'REDFISH_ANSWER_TOO_LARGE';
}
