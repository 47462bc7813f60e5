import { fail, ok, type Result } from '../base/result.ts';
import type { DpuValue } from '../rules/dpu.ts';
import { type CollectRules, collectVerified } from './collect-verified.ts';
import type { OpenLook } from './collector.ts';
import type { CollectedDpu, DpuCollector } from './collector-seam.ts';
import type { VerifiedEvidence } from './evidence.ts';
import { measurementText } from './manifest/device-record.ts';
import type { ReferenceManifest } from './manifest/reference-manifest.ts';

/** What collecting from a card by its BMC needs. */
export interface CollectDpuParts extends CollectRules {
  readonly openLook: OpenLook;
  readonly manifestFor: (target: string) => ReferenceManifest | undefined;
}

/**
 * Collects what commissioning pins: the device keys of a card behind its BMC, and the values that a
 * manifest calls the card's own. Chains, nonces and signatures are verified; what the card runs is not
 * judged. Fails with DPU_BMC_OTHER, and as looks and evidence do.
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
        return collected(
          parts,
          verified.value.map(([, evidence]) => evidence),
        );
      } finally {
        await look.value.close();
      }
    },
  };
}

function collected(
  { manifestFor }: CollectDpuParts,
  evidence: readonly VerifiedEvidence[],
): Result<CollectedDpu> {
  return ok({
    deviceIds: evidence.map(({ chain }) => chain.deviceIdSha256),
    baseline: evidence.flatMap((item) => ownValues(item, manifestFor(item.target))),
    pairing: undefined,
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
