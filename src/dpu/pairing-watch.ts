import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { fail, ok } from '../base/result.ts';
import type { Registry } from '../registry/registry.ts';
import type { DpuPairing, DpuRecord } from '../rules/dpu.ts';
import { type DpuInventory, hostDiffers } from './inventory.ts';
import type { FindPairing } from './pairing.ts';

/** What the watch over pairings needs. */
export interface PairingWatchParts {
  readonly registry: Pick<Registry, 'dpus'>;
  readonly inventory: Pick<DpuInventory, 'seen' | 'change'>;
  readonly find: FindPairing;
  /** Pause between two rounds, in milliseconds. */
  readonly everyMs: number;
  readonly clock: Clock;
  /** A host's BMC that was no help; nothing follows from it. */
  readonly onFault: (serial: string, error: SignetError) => void;
}

/**
 * Asks the BMCs of hosts again and again which card sits there, one after the other. A card that turns up
 * in another host goes into quarantine with all concerned; silence says nothing.
 */
export class PairingWatch {
  readonly #parts: PairingWatchParts;
  #cancel: (() => void) | undefined;
  #closed = false;

  constructor(parts: PairingWatchParts) {
    this.#parts = parts;
  }

  /** Begins with the first pause: what was found before the start is still known. */
  start(): void {
    this.#cancel = this.#parts.clock.after(this.#parts.everyMs, () => {
      void this.round().then(() => {
        if (!this.#closed) this.start();
      });
    });
  }

  /** Looks at every DPU whose host has a BMC, once. */
  async round(): Promise<void> {
    const { registry } = this.#parts;
    const states = ['commissioned', 'trusted', 'degraded'] as const;
    const all = registry.dpus.list({ states }, { pageSize: 0, pageToken: '' });
    for (const dpu of all.ok ? all.value.items : []) {
      if (this.#closed) return;
      if (dpu.hostBmc !== undefined) await this.#check(dpu);
    }
  }

  /** Ends the rounds; one that is under way ends with the DPU that it is at. */
  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  async #check(dpu: DpuRecord): Promise<void> {
    const { find, inventory, onFault } = this.#parts;
    const { serial } = dpu;
    const found = await find(dpu);
    if (!found.ok) {
      onFault(serial, found.error);
      return;
    }
    const pairing = found.value;
    if (pairing === undefined || this.#closed) return;
    const seen = await inventory.seen(serial, pairing);
    // It is in quarantine now, and everybody was told.
    if (!seen.ok) return;
    const noted = await inventory.change(serial, (now) =>
      hostDiffers(now.host, pairing)
        ? fail('STORE_CONFLICT', `another host was imported for DPU ${serial} meanwhile`)
        : ok(withPairing(now, pairing)),
    );
    if (!noted.ok) onFault(serial, noted.error);
  }
}

/** What a BMC did not tell this time stays as it was told before. */
function withPairing({ revision: _revision, ...draft }: DpuRecord, found: DpuPairing) {
  const { pairing } = draft;
  const updatedAtSeconds = found.checkedAtSeconds;
  const told = {
    ...found,
    serial: found.serial || (pairing?.serial ?? ''),
    uuid: found.uuid || (pairing?.uuid ?? ''),
    pf0Mac: found.pf0Mac || (pairing?.pf0Mac ?? ''),
  };
  return { ...draft, pairing: told, updatedAtSeconds };
}
