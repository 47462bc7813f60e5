import type { StatedDpu } from '../../dpu/facts.ts';
import type { Assessment, Dpu, DpuFacts, MeasuredValue } from '../../gen/signet/dpu/v1/dpu.ts';
import type { DpuAssessment, DpuRecord, DpuValue } from '../../rules/dpu.ts';
import { dpuAgentPath } from '../../rules/reserved-ids.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';

/** What an import states, from its wire form. */
export function fromWireFacts(facts: DpuFacts): StatedDpu {
  const { agentIds, deviceIds, ...rest } = facts;
  return { ...rest, agentIds: agentIds?.values, deviceIds: deviceIds?.values };
}

/** A DPU in its wire form. */
export function toWireDpu(dpu: DpuRecord, trustDomain: TrustDomain): Dpu {
  const own = dpu.deviceIds.map((deviceId) => trustDomain.id + dpuAgentPath(deviceId));
  const { pairing, assessment, bmc, hostBmc, hostKey } = dpu;
  return {
    serial: dpu.serial,
    revision: dpu.revision,
    state: dpu.state,
    reason: dpu.reason,
    stateSince: BigInt(dpu.stateSinceSeconds),
    mustAttest: dpu.mustAttest,
    model: dpu.model,
    opn: dpu.opn,
    psid: dpu.psid,
    bmc: bmc && { ...bmc, tlsPin: bmc.tlsPin ?? '' },
    host: dpu.host,
    zone: dpu.zone,
    rack: dpu.rack,
    tenant: dpu.tenant,
    agentIds: [...own, ...dpu.agentIds.map(({ uri }) => uri)],
    deviceIds: [...dpu.deviceIds],
    baseline: dpu.baseline.map(toWireValue),
    baselineWindowEnds: BigInt(dpu.baselineWindowEndsSeconds),
    accepted: dpu.accepted.map((release) => ({ ...release })),
    counters: dpu.counters.map(toWireValue),
    securityVersions: dpu.securityVersions.map(toWireValue),
    pairing: pairing && {
      host: { serial: pairing.serial, uuid: pairing.uuid, pf0Mac: pairing.pf0Mac },
      source: pairing.source,
      checkedAt: BigInt(pairing.checkedAtSeconds),
    },
    assessment: assessment && toWireAssessment(assessment),
    attestDemand: dpu.attestDemand && {
      reason: dpu.attestDemand.reason,
      since: BigInt(dpu.attestDemand.sinceSeconds),
    },
    hostBmc: hostBmc && { ...hostBmc, tlsPin: hostBmc.tlsPin ?? '', uuid: '', mac: '' },
    hostKey: hostKey && {
      anchor: hostKey.anchor,
      boot: hostKey.boot,
      witnessed: hostKey.witness !== '',
      hostUuid: hostKey.hostUuid,
      since: BigInt(hostKey.sinceSeconds),
    },
    ownKey: dpu.ownKeySha256,
    endorsementKey: dpu.ekSha256,
    lastFull: dpu.lastFull && { rules: dpu.lastFull.rules, light: dpu.lastFull.light },
    hostTpm: dpu.hostTpm && {
      endorsementKey: dpu.hostTpm.ekSha256,
      hostUuid: dpu.hostTpm.hostUuid,
      since: BigInt(dpu.hostTpm.sinceSeconds),
    },
    awaitsJoinSecret: dpu.joinSecretHash !== '',
    unreachableSince: BigInt(dpu.unreachableSinceSeconds),
    createdAt: BigInt(dpu.createdAtSeconds),
    updatedAt: BigInt(dpu.updatedAtSeconds),
    commissionedAt: BigInt(dpu.commissionedAtSeconds),
    attestedAt: BigInt(dpu.attestedAtSeconds),
  };
}

function toWireAssessment(assessment: DpuAssessment): Assessment {
  return {
    at: BigInt(assessment.atSeconds),
    verdict: assessment.verdict,
    evidence: [...assessment.evidence],
    binding: assessment.binding,
    components: assessment.components.map((component) => ({
      ...component,
      values: component.values.map(toWireValue),
    })),
    code: assessment.code,
    detail: assessment.detail,
    posture: { ...assessment.posture },
    evidenceId: assessment.evidenceId,
  };
}

function toWireValue({ target, index, value }: DpuValue): MeasuredValue {
  return { target, index, value };
}
