import type { Result } from '../../src/base/result.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { createKeyAndRequest } from '../identity/csr.ts';
import { type OwnSvid, type RenewalTime, readOwnSvid } from './own-svid.ts';
import { callServer } from './server-call.ts';
import type { ServerClients } from './server-clients.ts';

/** Longest wait for a renewal, in milliseconds. */
const RENEW_TIMEOUT_MS = 30_000;

/** What a renewal needs. */
export interface RenewParts {
  readonly trustDomain: TrustDomain;
  readonly renewal: RenewalTime;
}

/**
 * Asks for a new SVID under a new key by RenewAgent. The old one stays valid at the server until the
 * new one is first used (spire-compatibility A.3.5).
 */
export async function renewSvid(
  parts: RenewParts,
  svid: OwnSvid,
  { agent }: Pick<ServerClients, 'agent'>,
): Promise<Result<OwnSvid>> {
  const request = await createKeyAndRequest('ec-p256', undefined);
  const answer = await callServer(
    agent.renewAgent.bind(agent),
    { params: { csr: Buffer.from(request.csr) } },
    RENEW_TIMEOUT_MS,
  );
  if (!answer.ok) return answer;
  const bytes = {
    chainDer: answer.value.svid?.certChain ?? [],
    privateKeyPkcs8: request.privateKeyPkcs8,
    reattestable: svid.reattestable,
  };
  return readOwnSvid(bytes, parts.trustDomain, parts.renewal);
}
