import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { DpuValue } from '../rules/dpu.ts';
import { collectAll, type OpenLook } from './collector.ts';
import type { CollectedDpu, DpuCollector } from './collector-seam.ts';
import {
  type DpuTarget,
  type EvidenceRules,
  matchTargets,
  type VerifiedEvidence,
  verifyEvidence,
} from './evidence.ts';
import { measurementText } from './manifest/device-record.ts';
import type { ReferenceManifest } from './manifest/reference-manifest.ts';

const NONCE_BYTES = 32;

/** What collecting from a card by its BMC needs. */
export interface CollectDpuParts {
  readonly openLook: OpenLook;
  readonly targets: readonly DpuTarget[];
  /** As they stand now. */
  readonly rules: () => EvidenceRules;
  readonly manifestFor: (target: string) => ReferenceManifest | undefined;
  readonly random: Random;
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
        const { slot } = parts.rules().spdm;
        const wanted = parts.targets.map(({ id }) => ({
          target: id,
          nonce: parts.random.bytes(NONCE_BYTES),
          slot,
        }));
        const shown = await collectAll(look.value, wanted);
        if (!shown.ok) return shown;
        const matched = matchTargets(shown.value, parts.targets);
        if (!matched.ok) return matched;
        const verified: VerifiedEvidence[] = [];
        for (const [at, [target, item]] of matched.value.entries()) {
          const nonce = wanted[at]?.nonce ?? new Uint8Array();
          const evidence = verifyEvidence(item, target, nonce, parts.rules());
          if (!evidence.ok) return evidence;
          verified.push(evidence.value);
        }
        return collected(parts, verified);
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
