import type { Cancel, Clock } from '../base/clock.ts';

/** What is looked at when its time comes. */
export interface Due {
  /** Slot that it lies in; kept by {@link Deadlines}. */
  slot: number;
  /** Called at the time that was asked for or a little later. Answers how long to wait for the next; infinite is never. */
  due(): number;
}

/** Widest look ahead, in slots: what is due later is looked at then and put back. */
const MAX_AHEAD = 240;

/**
 * Deadlines of many by one timer. Each is looked at when its slot passes and says itself when to look
 * again, so that putting a deadline off costs nothing.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #slotMs: number;
  readonly #onTick: () => void;
  readonly #slots = new Map<number, Set<Due>>();
  #last: number;
  #cancel: Cancel;

  /** @param onTick Called at every slot, whether or not something is due. */
  constructor(clock: Clock, slotMs: number, onTick: () => void) {
    this.#clock = clock;
    this.#slotMs = slotMs;
    this.#onTick = onTick;
    this.#last = this.#now();
    this.#cancel = clock.after(slotMs, () => this.#tick());
  }

  /** Has `item` looked at after `delayMs`, in place of what was asked for it before; never where that is infinite. */
  set(item: Due, delayMs: number): void {
    this.delete(item);
    if (delayMs === Number.POSITIVE_INFINITY) return;
    const ahead = Math.min(Math.max(Math.ceil(delayMs / this.#slotMs), 1), MAX_AHEAD);
    item.slot = this.#last + ahead;
    const slot = this.#slots.get(item.slot);
    if (slot === undefined) this.#slots.set(item.slot, new Set([item]));
    else slot.add(item);
  }

  delete(item: Due): void {
    const slot = this.#slots.get(item.slot);
    if (slot?.delete(item) === true && slot.size === 0) this.#slots.delete(item.slot);
  }

  close(): void {
    this.#cancel();
    this.#slots.clear();
  }

  #now(): number {
    return Math.floor(this.#clock.monotonicMs() / this.#slotMs);
  }

  #tick(): void {
    this.#cancel = this.#clock.after(this.#slotMs, () => this.#tick());
    const now = this.#now();
    // A machine that was suspended has many behind it; slots that hold nothing cost nothing.
    const passed = [...this.#slots.keys()].filter((slot) => slot <= now).sort((a, b) => a - b);
    this.#last = now;
    for (const slot of passed) {
      const items = this.#slots.get(slot) ?? [];
      this.#slots.delete(slot);
      for (const item of items) this.set(item, item.due());
    }
    this.#onTick();
  }
}
