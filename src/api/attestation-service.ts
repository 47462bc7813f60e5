import { fail, ok } from '../base/result.ts';
import type { AttestationService } from '../gen/signet/attestation/v1/attestation.ts';
import type { Handlers } from '../rpc/service.ts';
import type { ApiContext } from './context.ts';
import { fromWireId } from './convert/ids.ts';

/** `signet.attestation.v1.Attestation`: what is known of a node beside its agent's name. */
export function createAttestationService(
  api: Pick<ApiContext, 'registry'>,
): Handlers<AttestationService> {
  return {
    getAssurance(request) {
      const id = fromWireId(request.agentId, 'agent_id');
      if (!id.ok) return id;
      const agent = api.registry.agent(id.value);
      if (agent === undefined) return fail('AGENT_NOT_FOUND', `no agent ${id.value.uri}`);
      const { assurance } = agent;
      if (assurance === undefined) return ok({ assurance: undefined });
      const { method, binding, zone, release, atSeconds } = assurance;
      const attestedAt = BigInt(atSeconds);
      return ok({ assurance: { method, binding, zone, release: release ?? '', attestedAt } });
    },
  };
}
