import { createHash } from 'node:crypto';
import type { AttestedNode, NodeAttestor } from '../attestation/attestor.ts';
import { attestWithin, type Exchange } from '../attestation/bounded.ts';
import { fail, ok, type Result } from '../base/result.ts';
import {
  type AttestAgentRequest,
  type AttestAgentRequest_Params,
  AttestAgentResponse,
} from '../gen/spire/api/server/agent/v1/agent.ts';
import type { IssuedX509 } from '../issuance/issuer.ts';
import { grantAttestedAgentX509 } from '../policy/grants.ts';
import { type CallContext, Encoded, type ResponseStream } from '../rpc/service.ts';
import { type ApiContext, audit } from './context.ts';
import { toWireX509 } from './convert/svids.ts';
import type { OneAtATime } from './one-at-a-time.ts';
import { withDeniedReason } from './permission-denied.ts';
import { nextMessage } from './streams.ts';

/** What attestation needs besides the services' context. */
export interface Attestation {
  /** The node attestors of the server, by their name on the wire. */
  readonly attestors: ReadonlyMap<string, NodeAttestor>;
  /** Keeps two attestations for one CSR key apart, so that the second finds the first's answer. */
  readonly oneAtATime: OneAtATime;
}

/** AttestAgent: parameters, as many challenges as the method has, then the agent's first SVID. */
export async function attestAgent(
  api: ApiContext,
  attestation: Attestation,
  requests: AsyncIterable<AttestAgentRequest>,
  stream: ResponseStream<AttestAgentResponse>,
  context: CallContext,
): Promise<Result<void>> {
  const reader = requests[Symbol.asyncIterator]();
  const params = await readParams(api, reader);
  if (!params.ok) return params;
  const exchange: Exchange = (bytes, waitMs) => {
    stream.write({ step: { $case: 'challenge', value: Buffer.from(bytes) } });
    return readResponse(api, reader, waitMs);
  };
  const answer = await attest(api, attestation, params.value, exchange, context);
  if (!answer.ok) {
    const { code, message } = answer.error;
    const { remoteAddress } = context.connection;
    api.log.warn({ remoteAddress, type: params.value.type, code, reason: message }, 'not attested');
    return { ok: false, error: withDeniedReason(answer.error) };
  }
  stream.write(new Encoded(Buffer.from(answer.value)));
  return ok(undefined);
}

interface Params {
  readonly type: string;
  readonly payload: Uint8Array;
  readonly csr: Uint8Array;
}

async function readParams(
  api: ApiContext,
  reader: AsyncIterator<AttestAgentRequest>,
): Promise<Result<Params>> {
  const first = await nextMessage(reader, api.clock);
  if (!first.ok) return first;
  const step = first.value?.step;
  if (step?.$case !== 'params') {
    return fail('ATTESTATION_PROTOCOL', 'the first message must hold the parameters');
  }
  return checkParams(step.value);
}

function checkParams({ data, params }: AttestAgentRequest_Params): Result<Params> {
  if (data === undefined || data.type === '') return fail('FIELD_MISSING', 'params.data.type');
  if (data.payload.length === 0) return fail('FIELD_MISSING', 'params.data.payload is required');
  if (params === undefined || params.csr.length === 0) {
    return fail('FIELD_MISSING', 'params.params.csr is required');
  }
  return ok({ type: data.type, payload: data.payload, csr: params.csr });
}

async function readResponse(
  api: ApiContext,
  reader: AsyncIterator<AttestAgentRequest>,
  waitMs: number,
): Promise<Result<Uint8Array>> {
  const next = await nextMessage(reader, api.clock, waitMs);
  if (!next.ok) return next;
  const step = next.value?.step;
  if (step?.$case === 'challengeResponse') return ok(step.value);
  // An agent that could not do its part, such as one whose BMC is silent: its own log says why.
  if (next.value === undefined) {
    return fail('ATTESTATION_PROTOCOL', 'the agent gave up before it answered a challenge');
  }
  return fail('ATTESTATION_PROTOCOL', 'a challenge must be answered with its response');
}

async function attest(
  api: ApiContext,
  attestation: Attestation,
  params: Params,
  exchange: Exchange,
  context: CallContext,
): Promise<Result<Uint8Array>> {
  const attestor = attestation.attestors.get(params.type);
  if (attestor === undefined) {
    const offered = [...attestation.attestors.keys()].join(', ');
    return fail('ATTESTATION_TYPE', `method not offered; this server has: ${offered}`);
  }
  // Before the method sees anything: a request that could not be signed must not use a token up.
  const key = api.issuer.checkCsr(params.csr);
  if (!key.ok) return key;
  const csrSpki = key.value.spki;
  const csrKeyHash = createHash('sha256').update(csrSpki).digest('hex');
  const request = { payload: params.payload, csrSpki, csrKeyHash };
  return attestation.oneAtATime(csrKeyHash, async () => {
    const outcome = await attestWithin(attestor, request, { exchange, clock: api.clock });
    if (!outcome.ok) return outcome;
    if (outcome.value.kind === 'answered') return ok(outcome.value.answer);
    return admit(api, attestor.type, outcome.value.node, params.csr, context);
  });
}

/** Signs the agent's SVID and writes the agent down; only then may the answer leave. */
async function admit(
  api: ApiContext,
  type: string,
  node: AttestedNode,
  csr: Uint8Array,
  context: CallContext,
): Promise<Result<Uint8Array>> {
  const grant = grantAttestedAgentX509(
    node.agentId,
    { ...node.assurance, method: type },
    api.policy,
    node.notAfterSeconds,
  );
  if (!grant.ok) return grant;
  const [issued] = await api.issuer.issueX509Batch([{ grant: grant.value, csr }]);
  if (issued === undefined) return fail('INTERNAL', 'issuance gave no answer');
  if (!issued.ok) return issued;
  const answer = encodeResult(issued.value, node.canReattest);
  const recorded = await record(api, type, node, issued.value, answer);
  if (!recorded.ok) return recorded;
  const facts = { agentId: node.agentId.uri, type, serial: issued.value.serialDecimal };
  audit(api, context, { ...node.auditFacts, ...facts });
  return ok(answer);
}

function encodeResult(issued: IssuedX509, reattestable: boolean): Uint8Array {
  const result = { svid: toWireX509(issued, ''), reattestable };
  return AttestAgentResponse.encode({ step: { $case: 'result', value: result } }).finish();
}

function record(
  api: ApiContext,
  type: string,
  node: AttestedNode,
  issued: IssuedX509,
  answer: Uint8Array,
): Promise<Result<void>> {
  const { joinTokenHash, aliasDraft } = node;
  const attestedAtSeconds = Math.floor(api.clock.nowMs() / 1000);
  return api.registry.recordAttestation({
    agent: {
      id: node.agentId,
      attestationType: type,
      selectors: node.selectors,
      serial: issued.serialDecimal,
      expiresAtSeconds: issued.expiresAtSeconds,
      newSerial: undefined,
      newExpiresAtSeconds: undefined,
      banned: false,
      canReattest: node.canReattest,
      // An attestation anew says nothing about the version: the one that was told last still runs.
      agentVersion: api.registry.agent(node.agentId)?.agentVersion ?? '',
      attestedAtSeconds,
      assurance: { ...node.assurance, method: type, atSeconds: attestedAtSeconds },
    },
    aliasEntry: aliasDraft === undefined ? undefined : { draft: aliasDraft },
    dpu: node.dpu,
    joinTokenAnswer: joinTokenHash === undefined ? undefined : { tokenHash: joinTokenHash, answer },
  });
}
