import { ok, type Result } from '../../base/result.ts';
import { dpuSelectors } from '../../dpu/selectors.ts';
import type { DpuDraft, DpuRecord } from '../../rules/dpu.ts';
import { dpuAgentPath } from '../../rules/reserved-ids.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { AttestationOutcome } from '../attestor.ts';
import type { Judged } from './judge.ts';
import type { DpuAttestorParts } from './parts.ts';
import { tpmShare } from './tpm.ts';

/**
 * The agent of a DPU that was found well, and the write that makes both durable: what was found is
 * remembered, and `more` by the kind of attestation. Fails as `DpuInventory.attested` and `more` do.
 */
export function admit(
  { trustDomain, inventory, tpm: rules }: DpuAttestorParts,
  dpu: DpuRecord,
  { appraisal, posture, assessment, tpm }: Judged,
  deviceId: string,
  more: (draft: DpuDraft) => Result<DpuDraft>,
): Result<AttestationOutcome> {
  const agentId = spiffeIdFromPath(trustDomain, dpuAgentPath(deviceId));
  if (!agentId.ok) return agentId;
  const { components, remembered } = appraisal;
  const { binding, evidence } = assessment;
  const selectors = dpuSelectors({ dpu, components, evidence, binding, posture });
  if (!selectors.ok) return selectors;
  const share = tpmShare(rules, agentId.value, tpm);
  if (!share.ok) return share;
  const { tpmClock } = share.value;
  const write = inventory.attested(dpu.serial, assessment, (draft) =>
    more({ ...draft, ...remembered }),
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
