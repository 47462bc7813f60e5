import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import { collectAll } from './collector.ts';
import {
  type DpuTarget,
  type EvidenceRules,
  matchTargets,
  type ShownEvidence,
  type VerifiedEvidence,
  verifyEvidence,
} from './evidence.ts';
import type { BmcLook } from './out-of-band.ts';

const NONCE_BYTES = 32;

/** Evidence of each target, in their order. */
export interface CollectedEvidence {
  readonly pairs: readonly (readonly [DpuTarget, VerifiedEvidence])[];
  /** The same as it came. */
  readonly shown: readonly ShownEvidence[];
}

/** What evidence is asked for and verified by. */
export interface CollectRules {
  readonly targets: readonly DpuTarget[];
  /** As they stand now. */
  readonly rules: () => EvidenceRules;
  readonly random: Random;
}

/**
 * Collects from all components by an open look, each with a nonce of its own, and verifies chains, nonces and
 * signatures; whose card it is and what it runs is not judged. Fails as looks and evidence do.
 */
export async function collectVerified(
  look: Pick<BmcLook, 'collect'>,
  { targets, rules, random }: CollectRules,
): Promise<Result<CollectedEvidence>> {
  const { slot } = rules().spdm;
  const wanted = targets.map(({ id }) => ({ target: id, nonce: random.bytes(NONCE_BYTES), slot }));
  const shown = await collectAll(look, wanted);
  if (!shown.ok) return shown;
  const matched = matchTargets(shown.value, targets);
  if (!matched.ok) return matched;
  const pairs: (readonly [DpuTarget, VerifiedEvidence])[] = [];
  for (const [at, [target, item]] of matched.value.entries()) {
    const nonce = wanted[at]?.nonce ?? new Uint8Array();
    const verified = verifyEvidence(item, target, nonce, rules());
    if (!verified.ok) return verified;
    pairs.push([target, verified.value]);
  }
  return ok({ pairs, shown: shown.value });
}
