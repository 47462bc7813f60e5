import { fail, ok, type Result } from '../../base/result.ts';
import {
  type DpuTarget,
  matchTargets,
  sameDevice,
  type VerifiedEvidence,
  verifyEvidence,
} from '../../dpu/evidence.ts';
import { type DpuAttestorParts, evidenceRules } from './parts.ts';
import type { SpdmKind } from './payload.ts';
import { isSpdmKind } from './plan.ts';
import type { Session } from './session.ts';

/** Verified evidence of each component, in the order of the targets. */
export type Pairs = readonly (readonly [DpuTarget, VerifiedEvidence])[];

/** What was shown, verified: the same components by each kind that was asked for, at least one. */
export type ShownByKind = readonly [Pairs, ...Pairs[]];

/**
 * Verifies what was shown: for each kind of signed measurements one piece for each component and no
 * more, each by its own nonce. Errors: DPU_EVIDENCE_INCOMPLETE and those of `verifyEvidence`.
 */
export function verifyShown(parts: DpuAttestorParts, session: Session): Result<ShownByKind> {
  const byKind: Pairs[] = [];
  for (const kind of session.kinds.filter(isSpdmKind)) {
    const pairs = verifyKind(parts, session, kind);
    if (!pairs.ok) return pairs;
    byKind.push(pairs.value);
  }
  const [first, ...others] = byKind;
  if (first === undefined) return fail('INTERNAL', 'no signed measurements were asked for');
  return ok([first, ...others]);
}

function verifyKind(
  parts: DpuAttestorParts,
  { shown, nonceFor }: Session,
  kind: SpdmKind,
): Result<Pairs> {
  const items = shown.filter((item) => item.kind === kind);
  const matched = matchTargets(items, parts.targets);
  if (!matched.ok) return matched;
  const pairs: (readonly [DpuTarget, VerifiedEvidence])[] = [];
  for (const [target, item] of matched.value) {
    const verified = verifyEvidence(item, target, nonceFor(kind, target.id), evidenceRules(parts));
    if (!verified.ok) return verified;
    pairs.push([target, verified.value]);
  }
  return ok(pairs);
}

/** Whether two collections are of the same devices in the same boot. Fails with DPU_RELAYED. */
export function sameDevices(shown: Pairs, collected: Pairs): Result<void> {
  for (const [at, [, evidence]] of collected.entries()) {
    const counterpart = shown[at]?.[1];
    const same = counterpart && sameDevice(counterpart, evidence);
    if (same?.ok !== true) return same ?? fail('INTERNAL', 'a component got lost');
  }
  return ok(undefined);
}
