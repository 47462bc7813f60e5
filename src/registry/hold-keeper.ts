import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { DpuRecord } from '../rules/dpu.ts';
import type { Store } from '../store/store.ts';
import type { BanReach } from './ban-keeper.ts';
import type { KeptList } from './kept-list.ts';
import { type KeptEvent, KeptWriter } from './kept-writer.ts';
import { type HeldDpu, judgeDpu } from './overlay.ts';

/** What keeping DPUs in quarantine stands on. */
export interface HoldKeeperOptions {
  readonly store: Pick<Store, 'writeDpus' | 'onWake'>;
  readonly holds: KeptList<HeldDpu>;
  readonly clock: Clock;
  readonly random: Random;
  /** A DPU as the store states it. */
  readonly stated: (serial: string) => DpuRecord | undefined;
  /** What is held changed: the view is to look at the DPU anew. */
  readonly onHeld: (serial: string) => void;
  readonly catchUp: () => Promise<Result<void>>;
  readonly onEvent: (event: KeptEvent<HeldDpu>) => void;
}

/**
 * Puts DPUs into quarantine whether or not the store answers: in force here before anything is waited
 * for, then written to the store; where that fails, kept in a file until it succeeds.
 */
export class HoldKeeper {
  readonly #options: HoldKeeperOptions;
  readonly #writer: KeptWriter<HeldDpu>;

  constructor(options: HoldKeeperOptions) {
    this.#options = options;
    this.#writer = new KeptWriter({
      ...options,
      list: options.holds,
      keyOf: ({ serial }) => serial,
      onWake: (wake) => options.store.onWake(wake),
      onLifted: options.onHeld,
      write: (held) => this.#write(held),
    });
  }

  /** The hold on a DPU that the store may not know of. */
  held(serial: string): HeldDpu | undefined {
    return this.#options.holds.get(serial);
  }

  /**
   * Puts a DPU into quarantine. Fails with DPU_NOT_FOUND, or with BAN_NOT_KEPT where it is in force but
   * would not outlive the process.
   */
  async quarantine(held: HeldDpu): Promise<Result<BanReach>> {
    const { holds, stated, onHeld } = this.#options;
    const { serial } = held;
    const state = stated(serial)?.state;
    if (state === undefined) return fail('DPU_NOT_FOUND', `no DPU ${serial}`);
    if (state === 'quarantined' || state === 'retired') return ok('everywhere');
    holds.add(held);
    onHeld(serial);
    const written = await this.#writer.soon(this.#write(held));
    const shown = written.ok ? await this.#options.catchUp() : written;
    if (written.ok && shown.ok) {
      await this.#writer.lift(serial);
      return ok('everywhere');
    }
    const saved = await this.#writer.keep();
    if (saved.ok) return ok('here');
    const why = `DPU ${serial} is in quarantine, but only until this server stops: ${saved.error.message}`;
    return fail('BAN_NOT_KEPT', why, { cause: saved.error });
  }

  /** Offers what is held to the store once; what it does not take it is offered again, later. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /** Stops offering. What is held stays in the file. */
  close(): Promise<void> {
    return this.#writer.close();
  }

  /** Writes it over whatever came meanwhile: a step that was under way must not undo it. */
  async #write(held: HeldDpu): Promise<Result<boolean>> {
    const { store, stated, clock, catchUp } = this.#options;
    for (let tries = 0; tries < 5; tries++) {
      const dpu = stated(held.serial);
      if (dpu === undefined) return ok(false);
      if (dpu.state === 'quarantined' || dpu.state === 'retired') return ok(true);
      const { revision: expectedRevision, ...draft } = judgeDpu(dpu, { heldHere: () => held });
      const updatedAtSeconds = Math.floor(clock.nowMs() / 1000);
      const write = { dpu: { ...draft, updatedAtSeconds }, expectedRevision };
      const written = await store.writeDpus([write]);
      if (!written.ok) return written;
      if (written.value[0]?.outcome === 'written') return ok(true);
      const shown = await catchUp();
      if (!shown.ok) return shown;
    }
    return fail('STORE_CONFLICT', `the DPU ${held.serial} keeps changing`);
  }
}
