import type { Cancel, Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { ok, type Result } from '../../base/result.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import {
  KEY_TYPES,
  type KeyCapabilities,
  type KeyManager,
  type KeyType,
  type SigningKey,
} from '../key-manager.ts';
import { checkSlot } from '../slot.ts';
import type { KeyWrapper } from '../wrapper.ts';
import { type Pace, PacedCalls } from './paced-calls.ts';
import { type HeldKey, SlotTable } from './slot-table.ts';
import { Turns } from './turns.ts';
import { startUpkeep } from './upkeep.ts';

/** What every manager of keys outside the process stands on. */
export interface OutsideOptions {
  /** Whose keys they are; two installations that share a manager and a trust domain need two namespaces. */
  readonly owner: { readonly namespace: string; readonly trustDomain: string };
  readonly pace: Pace;
  readonly refreshMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What a backend shares with the manager around it. */
export interface OutsideState {
  readonly table: SlotTable;
  /** Whatever reads or changes what is behind the slots goes one after another. */
  readonly turns: Turns;
  readonly paced: PacedCalls;
}

/** What a backend whose keys are outside the process can do. */
export function outsideCapabilities(differing: Pick<KeyCapabilities, 'anyHash'>): KeyCapabilities {
  return { ...differing, persistent: true, inProcess: false, keyTypes: KEY_TYPES };
}

/** What tells one kind of key manager outside the process from another. All but `close` is called in turn. */
export interface OutsideBackend {
  readonly name: string;
  readonly capabilities: KeyCapabilities;
  readonly wrapper: KeyWrapper;
  /** Looks at what is behind the slots, takes up what is new; answers the first thing wrong. */
  look(): Promise<Result<void>>;
  /** Makes the key that is in a slot from then on. The slot's name was checked. */
  generate(slot: string, type: KeyType): Promise<Result<HeldKey>>;
  /** Gives up the key of a slot, and takes it off the table when that is certain. */
  release(slot: string, held: HeldKey): Promise<Result<void>>;
  /** Done once a day, where there is something to do. */
  readonly daily?: (() => Promise<void>) | undefined;
  close(): Promise<void>;
}

const DAY_MS = 24 * 3_600_000;

/**
 * Opens the keys that a backend holds for an owner: it finds them and makes none. One that is disabled,
 * deleted, or was not made for its slot refuses the whole, as a damaged key file would: a server that
 * quietly made a new authority instead would hide an incident.
 */
export async function openOutsideKeyManager(
  options: OutsideOptions,
  connect: (state: OutsideState) => OutsideBackend,
): Promise<Result<KeyManager>> {
  const manager = new OutsideKeyManager(options, connect);
  const opened = await manager.open();
  if (opened.ok) return ok(manager);
  await manager.close();
  return opened;
}

class OutsideKeyManager implements KeyManager {
  readonly #options: OutsideOptions;
  readonly #state: OutsideState;
  readonly #backend: OutsideBackend;
  #upkeep: readonly Cancel[] = [];

  constructor(options: OutsideOptions, connect: (state: OutsideState) => OutsideBackend) {
    this.#options = options;
    this.#state = { table: new SlotTable(), turns: new Turns(), paced: new PacedCalls(options) };
    this.#backend = connect(this.#state);
  }

  get name(): string {
    return this.#backend.name;
  }

  get capabilities(): KeyCapabilities {
    return this.#backend.capabilities;
  }

  get wrapper(): KeyWrapper {
    return this.#backend.wrapper;
  }

  async open(): Promise<Result<void>> {
    const looked = await this.refresh();
    if (!looked.ok) return looked;
    const { clock, random, refreshMs } = this.#options;
    const { daily } = this.#backend;
    const every = (everyMs: number, work: () => Promise<void>): Cancel =>
      startUpkeep({ clock, random, everyMs, work });
    this.#upkeep = [
      every(refreshMs, () => this.#refreshAndTell()),
      ...(daily === undefined ? [] : [every(DAY_MS, () => this.#state.turns.take(daily))]),
    ];
    return ok(undefined);
  }

  generate(slot: string, type: KeyType): Promise<Result<SigningKey>> {
    const { table, turns } = this.#state;
    return turns.take(async () => {
      const named = checkSlot(slot);
      const made = named.ok ? await this.#backend.generate(slot, type) : named;
      if (!made.ok) return made;
      table.set(made.value);
      return ok(made.value.key);
    });
  }

  get(slot: string): SigningKey | undefined {
    return this.#state.table.get(slot)?.key;
  }

  list(): readonly SigningKey[] {
    return this.#state.table.keys();
  }

  release(slot: string): Promise<Result<void>> {
    const { table, turns } = this.#state;
    return turns.take(async () => {
      const held = table.get(slot);
      return held === undefined ? ok(undefined) : this.#backend.release(slot, held);
    });
  }

  refresh(): Promise<Result<void>> {
    const { table, turns } = this.#state;
    return turns.take(async () => table.note(await this.#backend.look()));
  }

  standing(): Result<void> {
    return this.#state.table.standing();
  }

  async close(): Promise<void> {
    for (const cancel of this.#upkeep) cancel();
    await this.#state.turns.idle();
    await this.#backend.close();
    this.#state.table.clear();
  }

  async #refreshAndTell(): Promise<void> {
    const looked = await this.refresh();
    if (looked.ok) return;
    const { code, message: reason, action } = looked.error;
    this.#options.log.error({ code, reason, action, manager: this.name }, 'keys outside');
  }
}
