import { BackOff } from '../../base/back-off.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { type KubeObject, metaOf } from '../../kube/objects.ts';
import type { Logger } from '../../runtime/log.ts';
import type { BundleForm } from './forms.ts';

/** What an object has to be now. */
export interface Wanted {
  readonly sequence: bigint;
  readonly object: KubeObject;
  /** What the form shows of it. */
  readonly shown: string;
}

/** An object as a watch tells it. */
export interface Seen {
  readonly shown: string;
  readonly resourceVersion: string;
}

/** What every object of a cluster shares. */
export interface PublishingParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Aborts when this server is no more the one that publishes; undefined where it is not. */
  readonly term: () => AbortSignal | undefined;
  /** An object holds a bundle that it did not hold before. */
  readonly onStanding: () => void;
}

/** What one object stands on. */
export interface PublishedObjectOptions extends PublishingParts {
  readonly form: BundleForm;
  readonly namespace: string | undefined;
  /** Undefined while there is no bundle, or none that may be published. */
  readonly wanted: () => Wanted | undefined;
  readonly apply: (object: KubeObject, signal: AbortSignal) => Promise<Result<KubeObject>>;
  /** A write has failed. */
  readonly onFailure: (error: SignetError) => void;
}

const BACK_OFF = { firstMs: 500, maxMs: 60_000 };
/** Who edits an object again and again is answered at this pace: it may be a controller. */
const PUT_BACK = { firstMs: 1_000, maxMs: 60_000 };
/** Who has not changed it for so long is answered at once. */
const QUIET_MS = 120_000;

/** A bundle that an object was seen to hold. */
interface Standing {
  readonly sequence: bigint;
  readonly sinceMs: number;
}

/**
 * Keeps one object as it has to be: one write at a time, at once when the bundle or the object changes,
 * later when a write failed or somebody else keeps changing it. It is never deleted here.
 */
export class PublishedObject {
  readonly #options: PublishedObjectOptions;
  readonly #backOff: BackOff;
  readonly #putBack: BackOff;
  readonly #stopped = new AbortController();
  #shown: string | undefined;
  /** Version that `#shown` is of: what is older is no news. */
  #version = '';
  /** When it was last put back. */
  #putBackAtMs: number | undefined;
  #standings: readonly Standing[] = [];
  #problem: SignetError | undefined;
  #lastStandingMs: number | undefined;
  #writing: Promise<void> | undefined;
  /** Whether it was woken while it wrote. */
  #isWoken = false;
  #cancelTimer: Cancel = () => {};

  constructor(options: PublishedObjectOptions) {
    this.#options = options;
    this.#backOff = new BackOff(BACK_OFF, options.random);
    this.#putBack = new BackOff(PUT_BACK, options.random);
  }

  /** What it is called in messages. */
  get title(): string {
    const { form, namespace } = this.#options;
    return [form.kind, ...(namespace === undefined ? [] : [namespace]), form.name].join('/');
  }

  /** Sequence of the bundle that it holds; undefined where it holds another text, or is not known. */
  get sequence(): bigint | undefined {
    return this.#standings.at(-1)?.sequence;
  }

  /** Whether it is as it has to be now. */
  get isCurrent(): boolean {
    return this.#shown !== undefined && this.#options.wanted()?.shown === this.#shown;
  }

  /** Unix milliseconds at which it was last seen or written as it has to be. */
  get lastStandingMs(): number | undefined {
    return this.#lastStandingMs;
  }

  /** Whether it has held this bundle, or a later one, for so long. */
  hasHeld(sequence: bigint, forMs: number): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    return this.#standings.some((one) => one.sequence >= sequence && nowMs - one.sinceMs >= forMs);
  }

  /** Waits for a write that is under way. */
  async whenIdle(): Promise<void> {
    await this.#writing;
  }

  /** What it has to be may have changed, or who writes it: looks at once. */
  wake(): void {
    if (this.#stopped.signal.aborted) return;
    this.#cancelTimer();
    this.#noteStanding();
    this.#isWoken = true;
    this.#writing ??= this.#settle().finally(() => {
      this.#writing = undefined;
      if (this.#isWoken) this.wake();
    });
  }

  /** A watch has told of it; undefined where it is gone. */
  seen(object: Seen | undefined): void {
    if (object !== undefined) {
      if (isBefore(object.resourceVersion, this.#version)) return;
      this.#version = object.resourceVersion;
    }
    if (object?.shown === this.#shown) return;
    const wasStanding = this.#standings.length > 0;
    this.#shown = object?.shown;
    this.#noteStanding();
    if (this.isCurrent) return;
    this.#standings = [];
    // Nothing is to be there, or what is to be there cannot be written: nothing is put back.
    if (this.#options.wanted() === undefined) return;
    this.#later(this.#putBackDelayMs(wasStanding, object === undefined));
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#cancelTimer();
    await this.#writing;
  }

  async #settle(): Promise<void> {
    const { signal } = this.#stopped;
    for (;;) {
      this.#isWoken = false;
      const wanted = this.#options.wanted();
      const term = this.#options.term();
      if (signal.aborted || term === undefined || wanted === undefined) return;
      if (wanted.shown === this.#shown) return;
      const ends = AbortSignal.any([signal, term]);
      const written = await this.#options.apply(wanted.object, ends);
      if (signal.aborted) return;
      const taken = written.ok ? this.#took(written.value, wanted) : written;
      if (taken.ok) continue;
      // Who lost the lease in mid-write leaves the rest to the next.
      if (!term.aborted) this.#failed(taken.error);
      return;
    }
  }

  #took(object: KubeObject, wanted: Wanted): Result<void> {
    const { form, log } = this.#options;
    const shown = form.shown(object);
    const { resourceVersion } = metaOf(object);
    // A watch may have told already what somebody made of it since.
    if (isBefore(resourceVersion, this.#version)) return ok(undefined);
    this.#shown = shown;
    this.#version = resourceVersion;
    if (shown !== wanted.shown) {
      return fail('KUBE_REFUSED', `${this.title}: the cluster changes what is written`);
    }
    this.#backOff.reset();
    if (this.#problem !== undefined) log.info({ object: this.title }, 'bundle is published again');
    this.#problem = undefined;
    this.#note(wanted.sequence);
    return ok(undefined);
  }

  #noteStanding(): void {
    const wanted = this.#options.wanted();
    if (wanted !== undefined && this.isCurrent) this.#note(wanted.sequence);
  }

  #note(sequence: bigint): void {
    const { clock, onStanding } = this.#options;
    this.#lastStandingMs = clock.nowMs();
    if (this.sequence === sequence) return;
    // The last few are enough: whoever waits for an older one is served by any of them.
    this.#standings = [...this.#standings, { sequence, sinceMs: clock.monotonicMs() }].slice(-8);
    onStanding();
  }

  #putBackDelayMs(wasStanding: boolean, isGone: boolean): number {
    const { clock, log, term } = this.#options;
    if (!wasStanding || term() === undefined) return 0;
    const what = isGone ? 'deleted' : 'changed';
    log.warn({ object: this.title }, `a published bundle was ${what} by others; it is put back`);
    const nowMs = clock.monotonicMs();
    const isQuiet = this.#putBackAtMs === undefined || nowMs - this.#putBackAtMs >= QUIET_MS;
    this.#putBackAtMs = nowMs;
    if (!isQuiet) return this.#putBack.next();
    this.#putBack.reset();
    return 0;
  }

  #failed(error: SignetError): void {
    const { log, onFailure } = this.#options;
    onFailure(error);
    const { code, message, action, details } = error;
    if (this.#problem?.code !== code) {
      const facts = { object: this.title, code, reason: message, action };
      log.warn(facts, 'bundle is not published; it is tried again');
    }
    this.#problem = error;
    const asked = typeof details.retryAfterMs === 'number' ? details.retryAfterMs : 0;
    this.#later(Math.max(this.#backOff.next(), asked));
  }

  #later(delayMs: number): void {
    this.#cancelTimer();
    if (delayMs === 0) this.wake();
    else this.#cancelTimer = this.#options.clock.after(delayMs, () => this.wake());
  }
}

/** Whether a version is older than another; the API server counts them up (KEP-5504). */
function isBefore(version: string, than: string): boolean {
  const isCount = /^[0-9]{1,20}$/;
  return isCount.test(version) && isCount.test(than) && BigInt(version) < BigInt(than);
}
