import type { Clock } from '../base/clock.ts';
import { ok, type Result } from '../base/result.ts';
import type { FleetGate } from '../redfish/fleet-gate.ts';
import { deadline } from '../redfish/pace.ts';
import type { DpuRecord } from '../rules/dpu.ts';
import type { ShownEvidence } from './evidence.ts';
import type { BmcLook } from './out-of-band.ts';

/** Opens a look at the BMC of a DPU, by its place in the inventory. */
export type OpenLook = (dpu: Pick<DpuRecord, 'serial' | 'bmc'>) => Promise<Result<BmcLook>>;

/** What looks wait at. */
export interface GatedLooks {
  /** One for all of a server. */
  readonly gate: FleetGate;
  readonly clock: Clock;
  /** Longest wait for a turn. */
  readonly waitMs: number;
}

/**
 * Looks that wait at the gate of the fleet: one at a time for each DPU, so many for all. A place is held
 * from the opening of a look until it is closed. Fails as the gate does, and as opening does.
 */
export function gatedLooks({ gate, clock, waitMs }: GatedLooks, open: OpenLook): OpenLook {
  return (dpu) => {
    const { promise, resolve, reject } = Promise.withResolvers<Result<BmcLook>>();
    const { signal, release } = deadline(clock, waitMs);
    const passed = gate.pass(dpu.serial, signal, async () => {
      const look = await open(dpu);
      if (!look.ok) return look;
      const watched = watch(look.value);
      resolve(ok(watched.look));
      return watched.closed;
    });
    passed
      .then((outcome) => {
        // Nothing new where the look was handed out: its own answers told already.
        if (!outcome.ok) resolve(outcome);
      }, reject)
      .finally(release);
    return promise;
  };
}

/** A look that tells when it is closed, and what its first failure was. */
function watch(look: BmcLook): { readonly look: BmcLook; readonly closed: Promise<Result<void>> } {
  const { promise: closed, resolve } = Promise.withResolvers<Result<void>>();
  let outcome: Result<void> = ok(undefined);
  const watched: BmcLook = {
    async collect(target, nonce, slot) {
      const collected = await look.collect(target, nonce, slot);
      if (!collected.ok && outcome.ok) outcome = collected;
      return collected;
    },
    serial: () => look.serial(),
    posture: () => look.posture(),
    async close() {
      try {
        await look.close();
      } finally {
        resolve(outcome);
      }
    },
  };
  return { look: watched, closed };
}

/** Evidence of one component that is wanted, with a nonce of the server's own. */
export interface WantedEvidence {
  readonly target: string;
  readonly nonce: Uint8Array;
  readonly slot: number;
}

/**
 * Evidence of several components of one card, in the order in which it is wanted (reference §7.3, L2).
 * They are asked side by side, as a BMC serves one collection for each, so that a card takes as long as
 * its slowest. What is missing of one component is missing of all; nothing is verified.
 */
export async function collectAll(
  look: Pick<BmcLook, 'collect'>,
  wanted: readonly WantedEvidence[],
): Promise<Result<readonly ShownEvidence[]>> {
  const collected = await Promise.all(
    wanted.map(({ target, nonce, slot }) => look.collect(target, nonce, slot)),
  );
  const evidence: ShownEvidence[] = [];
  for (const item of collected) {
    if (!item.ok) return item;
    evidence.push(item.value);
  }
  return ok(evidence);
}
