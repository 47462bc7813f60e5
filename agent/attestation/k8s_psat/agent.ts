import {
  encodeK8sPsatPayload,
  K8S_PSAT_TYPE,
  MAX_K8S_PSAT_BYTES,
} from '../../../src/attestation/k8s_psat/payload.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import type { AgentConfig } from '../../config.ts';
import { type NodeAttestor, withoutChallenge } from '../node-attestor.ts';

type K8sPsatSettings = NonNullable<AgentConfig['attestation']['k8sPsat']>;

/**
 * Attests with the projected token of the agent's service account; the file is read each time, since the
 * kubelet renews it. Fails with AGENT_K8S_PSAT_TOKEN.
 */
export function createK8sPsatAttestor({ cluster, tokenPath }: K8sPsatSettings): NodeAttestor {
  return {
    type: K8S_PSAT_TYPE,
    maxChallenges: 0,
    timeoutMs: 60_000,
    async begin() {
      const token = await readToken(tokenPath);
      if (!token.ok) return token;
      return ok(withoutChallenge(encodeK8sPsatPayload({ cluster, token: token.value })));
    },
  };
}

async function readToken(path: string): Promise<Result<string>> {
  const bytes = await readFileIfPresent(path, MAX_K8S_PSAT_BYTES);
  if (!bytes.ok) return fail('AGENT_K8S_PSAT_TOKEN', bytes.error.message, { cause: bytes.error });
  if (bytes.value === undefined) return fail('AGENT_K8S_PSAT_TOKEN', `${path} does not exist`);
  const token = Buffer.from(bytes.value).toString('utf8').trim();
  return token === '' ? fail('AGENT_K8S_PSAT_TOKEN', `${path} is empty`) : ok(token);
}
