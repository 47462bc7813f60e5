import { createPrivateKey } from 'node:crypto';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  AttestAgentRequest,
  AttestAgentResponse,
  AttestAgentResponse_Result,
} from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { createKey, createRequest, type KeyAndRequest } from '../identity/csr.ts';
import { readTrustBundle, type TrustBundle } from '../identity/trust-bundle.ts';
import type { NodeAttestor } from './node-attestor.ts';
import { type OwnSvid, type RenewalTime, readOwnSvid } from './own-svid.ts';
import { beginCall, callServer, denialOf, serverError } from './server-call.ts';
import type { ServerClients } from './server-clients.ts';
import type { AgentState, StateFile } from './state.ts';

/** Longest wait for the server in an attestation, in milliseconds. */
const ATTEST_TIMEOUT_MS = 30_000;

/** What an attestation needs. */
export interface AttestParts {
  readonly trustDomain: TrustDomain;
  readonly attestor: NodeAttestor;
  readonly state: StateFile;
  readonly renewal: RenewalTime;
}

/** What an attestation yields. */
export interface Attested {
  readonly svid: OwnSvid;
  readonly bundle: TrustBundle;
}

/**
 * Attests over a connection without a client certificate, and fetches the bundle on the same one
 * (spire-compatibility A.3.15). The key is stored before it is sent: when the answer is lost with
 * the process, the next attempt shows the same key and gets the same answer. Fails with
 * AGENT_ATTESTATION_REFUSED, AGENT_BANNED, AGENT_SERVER_UNAVAILABLE or AGENT_SERVER_ANSWER.
 */
export async function attestNode(
  parts: AttestParts,
  clients: Pick<ServerClients, 'agent' | 'bundle'>,
): Promise<Result<Attested>> {
  const payload = await parts.attestor.payload();
  if (!payload.ok) return payload;
  const key = await attestationKey(parts.state);
  if (!key.ok) return key;
  const result = await exchange(clients, {
    step: {
      $case: 'params',
      value: {
        data: { type: parts.attestor.type, payload: payload.value },
        params: { csr: Buffer.from(key.value.csr) },
      },
    },
  });
  if (!result.ok) return result;
  const svid = readOwnSvid(
    {
      chainDer: result.value.svid?.certChain ?? [],
      privateKeyPkcs8: key.value.privateKeyPkcs8,
      reattestable: result.value.reattestable,
    },
    parts.trustDomain,
    parts.renewal,
  );
  if (!svid.ok) return svid;
  const bundle = await fetchBundle(clients, parts.trustDomain);
  return bundle.ok ? ok({ svid: svid.value, bundle: bundle.value }) : bundle;
}

/** The own bundle as the server answers it. */
async function fetchBundle(
  clients: Pick<ServerClients, 'bundle'>,
  trustDomain: TrustDomain,
): Promise<Result<TrustBundle>> {
  const { bundle: client } = clients;
  const wire = await callServer(
    client.getBundle.bind(client),
    { outputMask: undefined },
    ATTEST_TIMEOUT_MS,
  );
  if (!wire.ok) return wire;
  const bundle = readTrustBundle(wire.value);
  if (!bundle.ok) return bundle;
  if (bundle.value.bundle.trustDomain.name !== trustDomain.name) {
    return fail('AGENT_SERVER_ANSWER', `the server is of trust domain ${wire.value.trustDomain}`);
  }
  if (bundle.value.bundle.x509Authorities.length === 0) {
    return fail('AGENT_SERVER_ANSWER', "the server's bundle has no X.509 authority");
  }
  return bundle;
}

async function attestationKey(state: StateFile): Promise<Result<KeyAndRequest>> {
  const stored = restoreKey(state.current);
  if (stored !== undefined) return ok(stored);
  const request = createRequest('ec-p256', await createKey('ec-p256'), undefined);
  const saved = await state.save({ pendingKey: request.privateKeyPkcs8.toString('base64') });
  if (saved.ok) return ok(request);
  // Not durable, so not to be shown by the next attempt either: a token would be spent on it.
  void state.save({ pendingKey: undefined });
  return saved;
}

function restoreKey({ pendingKey }: AgentState): KeyAndRequest | undefined {
  if (pendingKey === undefined) return undefined;
  const key = createPrivateKey({
    key: Buffer.from(pendingKey, 'base64'),
    format: 'der',
    type: 'pkcs8',
  });
  return createRequest('ec-p256', key, undefined);
}

async function exchange(
  clients: Pick<ServerClients, 'agent'>,
  request: AttestAgentRequest,
): Promise<Result<AttestAgentResponse_Result>> {
  const stream = beginCall(() =>
    clients.agent.attestAgent({ deadline: Date.now() + ATTEST_TIMEOUT_MS }),
  );
  if (!stream.ok) return stream;
  stream.value.write(request);
  const answer = await firstAnswer(stream.value);
  if (!answer.ok) return answer;
  const { step } = answer.value;
  if (step?.$case === 'result') return ok(step.value);
  return fail('AGENT_SERVER_ANSWER', 'the server answered a join token with a challenge');
}

function firstAnswer(
  stream: ClientDuplexStream<AttestAgentRequest, AttestAgentResponse>,
): Promise<Result<AttestAgentResponse>> {
  return new Promise((resolve) => {
    stream.on('data', (response: AttestAgentResponse) => {
      resolve(ok(response));
      stream.end();
    });
    stream.on('end', () => {
      resolve(fail('AGENT_SERVER_ANSWER', 'the server ended the attestation without an answer'));
    });
    stream.on('error', (error: Parameters<typeof serverError>[0]) => {
      const refusal = serverError(error);
      if (refusal.code === 'AGENT_SERVER_UNAVAILABLE') resolve({ ok: false, error: refusal });
      else if (denialOf(refusal) === 'banned') resolve(fail('AGENT_BANNED', refusal.message));
      else resolve(fail('AGENT_ATTESTATION_REFUSED', refusal.message, { cause: error }));
    });
  });
}
