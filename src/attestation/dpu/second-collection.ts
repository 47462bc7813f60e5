import { ok, type Result } from '../../base/result.ts';
import { collectAll } from '../../dpu/collector.ts';
import {
  type DpuTarget,
  matchTargets,
  type ShownEvidence,
  type VerifiedEvidence,
  verifyEvidence,
} from '../../dpu/evidence.ts';
import type { BmcLook } from '../../dpu/out-of-band.ts';
import { type DpuAttestorParts, evidenceRules } from './parts.ts';
import { SERVER_NONCE_BYTES } from './payload.ts';
import type { Pairs } from './verify-shown.ts';

/** What the server collected from a BMC itself. */
export interface SecondCollection {
  readonly pairs: Pairs;
  /** The same as it came. */
  readonly collected: readonly ShownEvidence[];
}

/** Asks the BMC of the inventory for each component with nonces of the server's own, and verifies. */
export async function collectFrom(
  parts: DpuAttestorParts,
  look: BmcLook,
): Promise<Result<SecondCollection>> {
  const { slot } = parts.spdm;
  const wanted = parts.targets.map(({ id }) => ({
    target: id,
    nonce: parts.random.bytes(SERVER_NONCE_BYTES),
    slot,
  }));
  const collected = await collectAll(look, wanted);
  if (!collected.ok) return collected;
  const matched = matchTargets(collected.value, parts.targets);
  if (!matched.ok) return matched;
  const pairs: (readonly [DpuTarget, VerifiedEvidence])[] = [];
  for (const [at, [target, evidence]] of matched.value.entries()) {
    const nonce = wanted[at]?.nonce ?? new Uint8Array();
    const verified = verifyEvidence(evidence, target, nonce, evidenceRules(parts));
    if (!verified.ok) return verified;
    pairs.push([target, verified.value]);
  }
  return ok({ pairs, collected: collected.value });
}
