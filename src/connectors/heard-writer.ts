import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { ConnectorRegistry } from '../registry/connectors.ts';
import type { ConnectorInstance } from '../rules/connector/record.ts';

/** How long beginnings and ends are gathered before they are written, in milliseconds. */
const GATHER_MS = 250;

/** How long the writer waits after the store refused, in milliseconds. */
const RETRY_MS = 5_000;

/** Written in one transaction: many, but none that others wait long for. */
const AT_ONCE = 500;

interface Heard {
  readonly atSeconds: number;
  readonly began: boolean;
  readonly instance: ConnectorInstance | undefined;
}

/** What the writer stands on. */
export interface HeardWriterOptions {
  readonly registry: Pick<ConnectorRegistry, 'changeConnectors'>;
  readonly clock: Clock;
  /** Told when the store does not take them; they are kept and tried again. */
  readonly onFault: (error: SignetError) => void;
  /** Told of one whose record is damaged; it is tried again when there is something new of it. */
  readonly onDamaged: (id: string, error: SignetError) => void;
}

/**
 * Writes down when connectors were last heard, at the beginning and the end of their sessions. Of one
 * connector only the newest waits; thousands that come back at once are written in portions.
 */
export class HeardWriter {
  readonly #options: HeardWriterOptions;
  readonly #waiting = new Map<string, Heard>();
  #cancel: Cancel | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: HeardWriterOptions) {
    this.#options = options;
  }

  /** Unix milliseconds of what is not written yet; 0 is nothing. */
  waitingMs(id: string): number {
    return (this.#waiting.get(id)?.atSeconds ?? 0) * 1000;
  }

  /** Notes that a session began, and what its connector said of itself where it did. */
  began(id: string, instance: ConnectorInstance | undefined): void {
    this.#note(id, true, instance);
  }

  /** Notes that a session ended. */
  ended(id: string): void {
    this.#note(id, false, undefined);
  }

  /** Writes what waits, as far as the store takes it, and ends. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#running;
    await this.#write();
  }

  #note(id: string, began: boolean, instance: ConnectorInstance | undefined): void {
    const atSeconds = Math.floor(this.#options.clock.nowMs() / 1000);
    const before = this.#waiting.get(id);
    // One that began and ended before it was written down did begin.
    this.#waiting.set(id, {
      atSeconds,
      began: began || before?.began === true,
      instance: instance ?? before?.instance,
    });
    this.#schedule(GATHER_MS);
  }

  #schedule(delayMs: number): void {
    if (this.#closed || this.#cancel !== undefined || this.#running !== undefined) return;
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#running = this.#write().then((done) => {
        this.#running = undefined;
        if (this.#waiting.size > 0) this.#schedule(done ? GATHER_MS : RETRY_MS);
      });
    });
  }

  /** Answers whether the store took all that waited. */
  async #write(): Promise<boolean> {
    const all = [...this.#waiting];
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const written = await this.#writePortion(all.slice(at, at + AT_ONCE));
      if (!written) return false;
    }
    return true;
  }

  /** Writes the halves by themselves where a record is damaged: it must not keep the others waiting. */
  async #writePortion(portion: readonly (readonly [string, Heard])[]): Promise<boolean> {
    const { registry, onFault, onDamaged } = this.#options;
    const written = await registry.changeConnectors(
      portion.map(([id, heard]) => ({ id, change: { kind: 'heard', ...heard } })),
    );
    if (!written.ok && written.error.code !== 'STORE_CORRUPT') {
      onFault(written.error);
      return false;
    }
    if (!written.ok && portion.length > 1) {
      const middle = portion.length >> 1;
      const first = await this.#writePortion(portion.slice(0, middle));
      return first && (await this.#writePortion(portion.slice(middle)));
    }
    for (const [id, heard] of portion) {
      if (this.#waiting.get(id) === heard) this.#waiting.delete(id);
      if (!written.ok) onDamaged(id, written.error);
    }
    return true;
  }
}
