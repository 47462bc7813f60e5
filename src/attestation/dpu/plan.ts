import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import { EVIDENCE_KINDS, type EvidenceKind, SPDM_KINDS, type SpdmKind } from './payload.ts';

/** What some zones demand. */
export interface EvidenceRequirement {
  /** Undefined is every DPU. */
  readonly zones?: readonly number[] | undefined;
  /** Each of them has to be shown. */
  readonly allOf: readonly EvidenceKind[];
}

/** What evidence is asked for. */
export interface EvidencePlan {
  /** Kinds of signed measurements that do where no requirement names one, the best first. */
  readonly kinds: readonly SpdmKind[];
  readonly require: readonly EvidenceRequirement[];
}

/** Whether a kind is of signed measurements. */
export function isSpdmKind(kind: EvidenceKind): kind is SpdmKind {
  return SPDM_KINDS.some((known) => known === kind);
}

/**
 * The kinds that a DPU has to show, all of them (dpu-attestation §7.2): what each requirement of its zone
 * names, and signed measurements in any case. A DPU of which no zone is known has to meet every
 * requirement. Fails with DPU_EVIDENCE_INCOMPLETE where one of them is not offered.
 */
export function wantedKinds(
  { serial, zone }: Pick<DpuRecord, 'serial' | 'zone'>,
  offers: readonly EvidenceKind[],
  { kinds, require }: EvidencePlan,
): Result<readonly EvidenceKind[]> {
  const met = require.filter(
    ({ zones }) => zones === undefined || zone === undefined || zones.includes(zone),
  );
  const demanded = EVIDENCE_KINDS.filter((kind) => met.some(({ allOf }) => allOf.includes(kind)));
  const missing = demanded.filter((kind) => !offers.includes(kind));
  if (missing.length > 0) {
    return fail('DPU_EVIDENCE_INCOMPLETE', `DPU ${serial}: no ${missing.join(', ')} is offered`);
  }
  if (demanded.some(isSpdmKind)) return ok(demanded);
  const kind = kinds.find((each) => offers.includes(each));
  if (kind !== undefined) return ok([kind, ...demanded]);
  return fail('DPU_EVIDENCE_INCOMPLETE', `DPU ${serial}: offers only ${offers.join(', ')}`);
}
