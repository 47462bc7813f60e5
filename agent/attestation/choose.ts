import type { AgentBase } from '../agent.ts';
import { createDpuAttestor } from './dpu/agent.ts';
import { createDpuHostAttestor } from './dpu_host/agent.ts';
import { createJoinTokenAttestor } from './join_token/agent.ts';
import { createK8sPsatAttestor } from './k8s_psat/agent.ts';
import type { NodeAttestor } from './node-attestor.ts';
import { createTpmAttestor } from './tpm/agent.ts';
import { createTpmDevIdAttestor } from './tpm_devid/agent.ts';
import { createX509PopAttestor } from './x509pop/agent.ts';

/** The one attestor that configuration names; join tokens where it names none. */
export function chooseAttestor({
  config,
  clock,
  random,
}: Pick<AgentBase, 'config' | 'clock' | 'random'>): NodeAttestor {
  const { attestation, join, trustDomain, dataDir } = config;
  if (attestation.x509pop !== undefined) return createX509PopAttestor(attestation.x509pop, random);
  if (attestation.dpu !== undefined) {
    return createDpuAttestor({ settings: attestation.dpu, dataDir, trustDomain, clock, random });
  }
  if (attestation.dpuHost !== undefined) {
    const { dataDir } = config;
    return createDpuHostAttestor({ settings: attestation.dpuHost, dataDir, trustDomain, clock });
  }
  if (attestation.tpm !== undefined) {
    return createTpmAttestor({ settings: attestation.tpm, trustDomain, clock });
  }
  if (attestation.tpmDevid !== undefined) {
    return createTpmDevIdAttestor(attestation.tpmDevid, clock);
  }
  if (attestation.k8sPsat !== undefined) return createK8sPsatAttestor(attestation.k8sPsat);
  return createJoinTokenAttestor(join);
}
