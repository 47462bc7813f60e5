import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  BatchNewX509SVIDResponse_Result,
  SVIDClient,
} from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { callServer } from '../attestation/server-call.ts';
import type { MintJwt } from './jwt-cache.ts';
import type { MintX509 } from './x509-mint.ts';

/** Longest wait for a batch: those who wait for a first SVID wait no longer, in milliseconds. */
const X509_TIMEOUT_MS = 10_000;

/** Longest wait for a token, in milliseconds. */
const JWT_TIMEOUT_MS = 5000;

/** The client to mint with now; undefined before the agent has attested. */
export type CurrentSvidClient = () => SVIDClient | undefined;

/** Mints by BatchNewX509SVID; answers belong to requests by their place (spire-compatibility A.3.2). */
export function createX509Minter(current: CurrentSvidClient): MintX509 {
  return async (requests) => {
    const client = current();
    if (client === undefined) return notAttested();
    const params = requests.map(({ entryId, csr }) => ({
      entryId,
      csr: Buffer.from(csr.buffer, csr.byteOffset, csr.length),
    }));
    const answer = await callServer(
      client.batchNewX509Svid.bind(client),
      { params },
      X509_TIMEOUT_MS,
    );
    if (!answer.ok) return answer;
    const { results } = answer.value;
    if (results.length !== requests.length) {
      return fail(
        'AGENT_SERVER_ANSWER',
        `the server answered ${results.length} SVIDs to ${requests.length} requests`,
      );
    }
    return ok(results.map(readResult));
  };
}

/** Mints by NewJWTSVID. */
export function createJwtMinter(current: CurrentSvidClient): MintJwt {
  return async (entryId, audience) => {
    const client = current();
    if (client === undefined) return notAttested();
    const request = { entryId, audience: [...audience] };
    const answer = await callServer(client.newJwtsvid.bind(client), request, JWT_TIMEOUT_MS);
    if (!answer.ok) return answer;
    const token = answer.value.svid?.token ?? '';
    return token === '' ? fail('AGENT_SERVER_ANSWER', 'the server answered no token') : ok(token);
  };
}

function readResult(result: BatchNewX509SVIDResponse_Result): Result<readonly Uint8Array[]> {
  const code = result.status?.code ?? 0;
  if (code !== 0) {
    return fail('AGENT_SERVER_REFUSED', `server: ${result.status?.message ?? 'no message'}`, {
      details: { grpcStatus: code },
    });
  }
  return ok(result.svid?.certChain ?? []);
}

function notAttested(): Result<never> {
  return fail('AGENT_SERVER_UNAVAILABLE', 'this agent has not attested yet');
}
