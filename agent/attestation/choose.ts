import type { Random } from '../../src/base/random.ts';
import type { AgentConfig } from '../config.ts';
import { createJoinTokenAttestor } from './join_token/agent.ts';
import type { NodeAttestor } from './node-attestor.ts';
import { createX509PopAttestor } from './x509pop/agent.ts';

/** The one attestor that configuration names; join tokens where it names none. */
export function chooseAttestor(
  { attestation, join }: Pick<AgentConfig, 'attestation' | 'join'>,
  random: Random,
): NodeAttestor {
  if (attestation.x509pop !== undefined) return createX509PopAttestor(attestation.x509pop, random);
  return createJoinTokenAttestor(join);
}
