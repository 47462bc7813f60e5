import type { Result } from '../../base/result.ts';
import { type CollectedEvidence, collectVerified } from '../../dpu/collect-verified.ts';
import type { BmcLook } from '../../dpu/out-of-band.ts';
import { type DpuAttestorParts, evidenceRules } from './parts.ts';

/** What the server collected from a BMC itself. */
export type SecondCollection = CollectedEvidence;

/** Asks the BMC of the inventory for each component with nonces of the server's own, and verifies. */
export function collectFrom(
  parts: DpuAttestorParts,
  look: BmcLook,
): Promise<Result<SecondCollection>> {
  const { targets, random } = parts;
  return collectVerified(look, { targets, random, rules: () => evidenceRules(parts) });
}
