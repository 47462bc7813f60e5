import { fail, ok, type Result } from '../base/result.ts';
import type { DpuPairing, DpuRecord, DpuValue } from '../rules/dpu.ts';
import { devicePinsOf } from './appraise-dpu.ts';
import { type CollectRules, collectVerified } from './collect-verified.ts';
import type { OpenLook } from './collector.ts';
import type { CollectedDpu, DpuCollector } from './collector-seam.ts';
import type { VerifiedEvidence } from './evidence.ts';
import { hostDiffers } from './inventory.ts';
import { measurementText } from './manifest/device-record.ts';
import type { ReferenceManifest } from './manifest/reference-manifest.ts';
import type { FindPairing } from './pairing.ts';

/** What collecting from a card by its BMC needs. */
export interface CollectDpuParts extends CollectRules {
  readonly openLook: OpenLook;
  readonly manifestFor: (target: string) => ReferenceManifest | undefined;
  /** Asks the BMC of the host; absent where none is to be asked. */
  readonly findPairing?: FindPairing | undefined;
}

/**
 * Collects what commissioning pins: the device keys of a card behind its BMC, and the values that a
 * manifest calls the card's own. Chains, nonces and signatures are verified; what the card runs is not
 * judged. The host's BMC has to agree on where the card sits. Fails with DPU_BMC_OTHER, DPU_MOVED, and as
 * looks, evidence and {@link FindPairing} do.
 */
export function createDpuCollector(parts: CollectDpuParts): DpuCollector {
  return {
    async collect(dpu) {
      const look = await parts.openLook(dpu);
      if (!look.ok) return look;
      try {
        const serial = await look.value.serial();
        if (!serial.ok) return serial;
        // Else a mixed-up address would pin another card's keys to this one.
        if (serial.value !== dpu.serial) {
          const what = `the BMC of ${dpu.serial} says that it is on ${serial.value}`;
          return fail('DPU_BMC_OTHER', what);
        }
        const verified = await collectVerified(look.value, parts);
        if (!verified.ok) return verified;
        const pairing = await pairingOf(parts, dpu);
        if (!pairing.ok) return pairing;
        const evidence = verified.value.pairs.map(([, item]) => item);
        return collected(parts, evidence, pairing.value);
      } finally {
        await look.value.close();
      }
    },
  };
}

/** Before anything is pinned: a card in another host than was imported is for a person to look at. */
async function pairingOf(
  { findPairing }: CollectDpuParts,
  dpu: DpuRecord,
): Promise<Result<DpuPairing | undefined>> {
  const found = await findPairing?.(dpu);
  if (found === undefined || !found.ok) return found ?? ok(undefined);
  if (found.value === undefined || !hostDiffers(dpu.host, found.value)) return found;
  const { serial, uuid } = found.value;
  return fail('DPU_MOVED', `DPU ${dpu.serial} sits in host ${serial || uuid}, nothing was pinned`);
}

function collected(
  { manifestFor }: CollectDpuParts,
  evidence: readonly VerifiedEvidence[],
  pairing: DpuPairing | undefined,
): Result<CollectedDpu> {
  return ok({
    deviceIds: evidence.map(({ chain }) => chain.deviceIdSha256),
    devicePins: devicePinsOf(evidence),
    baseline: evidence.flatMap((item) => ownValues(item, manifestFor(item.target))),
    pairing,
    bmc: undefined,
  });
}

function ownValues(
  { target, measurements }: VerifiedEvidence,
  manifest: ReferenceManifest | undefined,
): readonly DpuValue[] {
  const own = manifest?.targets.get(target)?.baseline ?? [];
  return measurements.blocks
    .filter(({ index }) => own.includes(index))
    .map((block) => ({ target, index: block.index, value: measurementText(block) }));
}
