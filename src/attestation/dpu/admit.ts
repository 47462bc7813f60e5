import { fail, ok, type Result } from '../../base/result.ts';
import { appraiseDpu, checkDeviceKeys, type DpuAppraisal } from '../../dpu/appraise-dpu.ts';
import { dpuSelectors } from '../../dpu/selectors.ts';
import type { DpuDemand, DpuDraft, DpuRecord } from '../../rules/dpu.ts';
import { dpuAgentPath } from '../../rules/reserved-ids.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { AttestationOutcome } from '../attestor.ts';
import type { Judged } from './judge.ts';
import type { DpuAttestorParts } from './parts.ts';
import { tpmShare } from './tpm.ts';

/**
 * The agent of a DPU that was found well, and the write that makes both durable: what was found is
 * remembered, and `more` by the kind of attestation. It may have taken minutes: what was found has to hold
 * for the DPU, and by the manifests, as they are by now. Fails as `appraiseDpu`, `checkDeviceKeys`,
 * `DpuInventory.attested` and `more` do, and with STORE_CONFLICT where it is to be shown anew.
 */
export function admit(
  parts: DpuAttestorParts,
  before: DpuRecord,
  { appraisal, posture, assessment, tpm }: Judged,
  deviceId: string,
  more: (draft: DpuDraft) => Result<DpuDraft>,
): Result<AttestationOutcome> {
  const { trustDomain, inventory, tpm: rules } = parts;
  const agentId = spiffeIdFromPath(trustDomain, dpuAgentPath(deviceId));
  if (!agentId.ok) return agentId;
  const found = inventory.find(before.serial);
  if (!found.ok) return found;
  const dpu = found.value;
  const still = judgeAgain(parts, before, dpu, appraisal);
  if (!still.ok) return still;
  const { components, remembered } = still.value;
  const { binding, evidence } = assessment;
  const selectors = dpuSelectors({ dpu, components, evidence, binding, posture });
  if (!selectors.ok) return selectors;
  const share = tpmShare(rules, agentId.value, tpm);
  if (!share.ok) return share;
  const { tpmClock } = share.value;
  const attestDemand = demandSince(before, dpu);
  const write = inventory.attested(dpu.serial, assessment, (draft) =>
    more({ ...draft, ...remembered, attestDemand }),
  );
  if (!write.ok) return write;
  const node = {
    agentId: agentId.value,
    selectors: [...selectors.value, ...share.value.selectors],
    canReattest: true,
    assurance: {
      ...{ binding, zone: dpu.zone, release: components[0]?.release.id },
      ...(tpmClock && { tpmClock }),
    },
    aliasDraft: undefined,
    joinTokenHash: undefined,
    dpu: write.value,
  };
  return ok({ kind: 'attested', node });
}

/** The same verdict on the DPU as it is by now: operators, manifests and other attestations go on meanwhile. */
function judgeAgain(
  { targets, manifestFor, clock }: Pick<DpuAttestorParts, 'targets' | 'manifestFor' | 'clock'>,
  before: DpuRecord,
  now: DpuRecord,
  { components }: DpuAppraisal,
): Result<DpuAppraisal> {
  const waits = now.state === 'commissioned' || now.state === 'enrolling';
  const putBack = now.state !== before.state || now.stateSinceSeconds !== before.stateSinceSeconds;
  // What was shown before a release, or before it was commissioned, does not end the wait for it.
  if ((waits && putBack) || now.zone !== before.zone) {
    return fail('STORE_CONFLICT', `the DPU ${now.serial} changed meanwhile: it has to show anew`);
  }
  const evidence = components.map((each) => each.evidence);
  const keys = checkDeviceKeys(now, evidence);
  if (!keys.ok) return keys;
  const pairs = targets.flatMap((target) =>
    evidence.filter((each) => each.target === target.id).map((each) => [target, each] as const),
  );
  return appraiseDpu(now, pairs, { manifestFor, atMs: clock.nowMs() });
}

/** A demand that came after this attestation began is not met by it. */
function demandSince(
  before: DpuRecord,
  { attestDemand: demand }: DpuRecord,
): DpuDemand | undefined {
  const known = before.attestDemand;
  const same = known?.sinceSeconds === demand?.sinceSeconds && known?.reason === demand?.reason;
  return same ? undefined : demand;
}
