import type { AgentBase } from '../agent.ts';
import { createDpuAttestor } from './dpu/agent.ts';
import { createJoinTokenAttestor } from './join_token/agent.ts';
import type { NodeAttestor } from './node-attestor.ts';
import { createX509PopAttestor } from './x509pop/agent.ts';

/** The one attestor that configuration names; join tokens where it names none. */
export function chooseAttestor({
  config,
  clock,
  random,
}: Pick<AgentBase, 'config' | 'clock' | 'random'>): NodeAttestor {
  const { attestation, join, trustDomain } = config;
  if (attestation.x509pop !== undefined) return createX509PopAttestor(attestation.x509pop, random);
  if (attestation.dpu !== undefined) {
    return createDpuAttestor({ settings: attestation.dpu, trustDomain, clock, random });
  }
  return createJoinTokenAttestor(join);
}
