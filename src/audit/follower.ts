import type { Cancel, Clock } from '../base/clock.ts';
import { type SignetError, toSignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { LedgerFiles } from '../ledger/files.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { BodyHold } from '../ledger/retention.ts';
import type { Logger } from '../runtime/log.ts';
import { type Cursor, readCursor, writeCursor } from './cursor.ts';
import { type ReadLines, readLines } from './read-lines.ts';
import type { AuditSink } from './sink.ts';

/** What a follower works on, and its bounds. */
export interface FollowerOptions {
  readonly name: string;
  readonly sink: AuditSink;
  readonly files: Pick<LedgerFiles, 'list' | 'size' | 'read' | 'replace'>;
  readonly ledger: Pick<Ledger, 'checkpoint' | 'onCheckpoint'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Most records in one delivery. */
  readonly maxRecords: number;
  /** Lag from which the alarm is on. */
  readonly alarmAfterMs: number;
  /** How much longer than `ledger.retention` bodies are kept for this sink. */
  readonly holdForMs: number;
}

/** Most bytes in one delivery, but for its last line. */
const MAX_DELIVERY_BYTES = 512 * 1024;
/** Pauses after failures: the first, doubled each time up to the longest. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** Longest pause that the other side may ask for. */
const LONGEST_ASKED_MS = 300_000;
/** How often the lag is held against its bound while nothing else happens. */
const ALARM_CHECK_MS = 5000;

/**
 * Opens a follower at its sink's cursor. Fails with AUDIT_CURSOR_INVALID, and with AUDIT_CURSOR_AHEAD
 * where the sink has had more than the ledger holds.
 */
export async function openFollower(options: FollowerOptions): Promise<Result<Follower>> {
  const { files, name, ledger, log } = options;
  const kept = await readCursor(files, name);
  if (!kept.ok) return kept;
  const { origin, size } = ledger.checkpoint;
  const cursor = kept.value ?? { origin, next: 0 };
  if (cursor.origin !== origin) {
    const { origin: before, next } = cursor;
    log.warn({ sink: name, before, had: next, origin }, 'audit sink follows a new ledger');
    return ok(new Follower(options, { origin, next: 0 }));
  }
  if (cursor.next > size) {
    const what = `audit sink ${name} has had ${cursor.next} records, the ledger holds ${size}`;
    return fail('AUDIT_CURSOR_AHEAD', what);
  }
  return ok(new Follower(options, cursor));
}

/**
 * Follows the ledger for one sink: reads what the last checkpoint covers, delivers, keeps the cursor,
 * in this order, so that a crash at any point brings records twice at worst. It never skips: what is
 * refused is offered again. States: running → closed.
 */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #abort = new AbortController();
  readonly #unsubscribe: () => void;
  #cursor: Cursor;
  /** What is durable of the cursor. */
  #kept: number;
  /** Time of the oldest record that is known to wait; undefined when none does. */
  #oldestMs: number | undefined;
  #failures = 0;
  #lastError: SignetError | undefined;
  #late = false;
  #running: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #cancelCheck: Cancel = () => {};
  #counts = { delivered: 0, failed: 0, dropped: 0 };

  constructor(options: FollowerOptions, cursor: Cursor) {
    this.#options = options;
    this.#cursor = cursor;
    this.#kept = cursor.next;
    this.#unsubscribe = options.ledger.onCheckpoint(() => this.#wake());
  }

  get name(): string {
    return this.#options.name;
  }

  /** Records that a checkpoint covers and the sink has not had. */
  get lagRecords(): number {
    return Math.max(0, this.#options.ledger.checkpoint.size - this.#cursor.next);
  }

  /** How long ago the oldest of them was written. */
  get lagMs(): number {
    if (this.lagRecords === 0 || this.#oldestMs === undefined) return 0;
    return Math.max(0, this.#options.clock.nowMs() - this.#oldestMs);
  }

  /** Whether the lag is past its bound. */
  get late(): boolean {
    return this.lagMs > this.#options.alarmAfterMs;
  }

  /** Since the start: records delivered, deliveries that failed, records dropped unseen. */
  get counts(): Readonly<{ delivered: number; failed: number; dropped: number }> {
    return this.#counts;
  }

  /** Bodies that are still wanted. */
  get hold(): BodyHold {
    return { from: this.#kept, extraMs: this.#options.holdForMs };
  }

  /** Begins to deliver. */
  start(): void {
    this.#running = this.#run();
    this.#armCheck();
  }

  async reopen(): Promise<void> {
    await this.#options.sink.reopen();
  }

  /** Ends what is under way; what was not delivered is delivered after the next start. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#unsubscribe();
    this.#cancelCheck();
    this.#wake();
    await this.#running;
    await this.#options.sink.close();
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      if (this.lagRecords === 0) {
        this.#oldestMs = undefined;
        await this.#pause(undefined);
        continue;
      }
      const done = await this.#turn().catch((thrown: unknown) => {
        return { ok: false, error: toSignetError(thrown, 'delivering audit records') } as const;
      });
      this.#checkAlarm();
      if (done.ok) this.#failures = 0;
      else if (!this.#abort.signal.aborted) await this.#pause(this.#noteFailure(done.error));
    }
  }

  /** One delivery: first the sink, then the cursor. */
  async #turn(): Promise<Result<void>> {
    const { files, ledger, maxRecords, sink, log, name, clock } = this.#options;
    // Until the records are read: they were written after the last check that found none.
    this.#oldestMs ??= clock.nowMs();
    const { origin, next: first } = this.#cursor;
    const bounds = { maxRecords, maxBytes: MAX_DELIVERY_BYTES, nowMs: clock.nowMs() };
    const read = await readLines(files, { origin, first, end: ledger.checkpoint.size, ...bounds });
    if (!read.ok) return read;
    const { lines, next } = read.value;
    this.#oldestMs = lines[0]?.timeMs;
    const delivered = await sink.deliver(lines, this.#abort.signal);
    if (!delivered.ok) return delivered;
    this.#took(read.value);
    const kept = await writeCursor(files, name, this.#cursor);
    if (!kept.ok) return kept;
    this.#kept = next;
    if (this.#lastError !== undefined) log.info({ sink: name }, 'audit sink takes records again');
    this.#lastError = undefined;
    return ok(undefined);
  }

  #took({ next, dropped, lines }: ReadLines): void {
    const { next: first } = this.#cursor;
    this.#cursor = { ...this.#cursor, next };
    this.#oldestMs = this.lagRecords === 0 ? undefined : lines.at(-1)?.timeMs;
    if (dropped === 0) {
      this.#counts.delivered += lines.length;
      return;
    }
    this.#counts.dropped += dropped;
    const { name, log } = this.#options;
    const { error } = fail('AUDIT_RECORDS_DROPPED', `records ${first} to ${next - 1}`);
    const { code, message, action } = error;
    log.error({ sink: name, code, reason: message, action, dropped }, 'audit records dropped');
  }

  /** Logs a failure the first time and when its kind changes; answers how long to wait. */
  #noteFailure(error: SignetError): number {
    const { name, log, random } = this.#options;
    this.#counts.failed += 1;
    this.#failures += 1;
    const { code, message, action } = error;
    if (this.#lastError?.code !== code) {
      log.error({ sink: name, code, reason: message, action }, 'audit sink fails');
    }
    this.#lastError = error;
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
    const asked = Number(error.details.retryAfterMs ?? 0);
    return Math.max(
      longest * (0.5 + randomFraction(random) / 2),
      Math.min(asked, LONGEST_ASKED_MS),
    );
  }

  /** Waits for a time, or where none is given for the next checkpoint. */
  async #pause(ms: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = (): void => resolve();
    const { signal } = this.#abort;
    signal.addEventListener('abort', end, { once: true });
    const cancel = ms === undefined ? () => {} : this.#options.clock.after(ms, end);
    if (ms === undefined) this.#wake = end;
    if (!signal.aborted) await promise;
    cancel();
    signal.removeEventListener('abort', end);
    this.#wake = () => {};
  }

  /** A delivery that hangs must not hide the lag. */
  #armCheck(): void {
    this.#cancelCheck = this.#options.clock.after(ALARM_CHECK_MS, () => {
      this.#checkAlarm();
      this.#armCheck();
    });
  }

  #checkAlarm(): void {
    const { name, log } = this.#options;
    const { late, lagRecords, lagMs } = this;
    if (late === this.#late) return;
    this.#late = late;
    if (!late) {
      log.info({ sink: name }, 'audit sink has caught up');
      return;
    }
    const { code, message, action } = fail('AUDIT_SINK_LATE', `${lagRecords} records behind`).error;
    log.error(
      { sink: name, code, reason: message, action, lagRecords, lagMs },
      'audit sink is late',
    );
  }
}
