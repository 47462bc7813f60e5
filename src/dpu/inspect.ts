import { ok, type Result } from '../base/result.ts';
import { readShownProduct, type ShownProduct } from '../dice/shown-product.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import { type ShownEvidence, type VerifiedEvidence, verifyEvidence } from './evidence.ts';

/** Evidence that holds together, and what would have to be pinned for it to be believed. */
export interface InspectedEvidence {
  readonly product: ShownProduct;
  readonly evidence: VerifiedEvidence;
}

/** What evidence is looked at with. */
export interface InspectionRules {
  /** Unix milliseconds. */
  readonly atMs: number;
  /** DER of roots that devices may leave out. */
  readonly anchors?: readonly Uint8Array[];
}

/**
 * Verifies the evidence of a component against the pins that it shows itself: chain, nonce, signature and
 * firmware ids hold, but whose product it is stays for somebody to judge. For looking at cards before
 * there is a configuration for them. Errors: those of `readShownProduct` and `verifyEvidence`.
 */
export function inspectEvidence(
  shown: ShownEvidence,
  nonce: Uint8Array,
  { atMs, anchors = [] }: InspectionRules,
): Result<InspectedEvidence> {
  const product = readShownProduct(shown.certificates, anchors);
  if (!product.ok) return product;
  const target = { id: shown.target, deviceClass: product.value.deviceClass };
  const evidence = verifyEvidence(shown, target, nonce, { spdm: DEFAULT_SPDM_POLICY, atMs });
  return evidence.ok ? ok({ product: product.value, evidence: evidence.value }) : evidence;
}
