import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  AttestAgentRequest,
  AttestAgentResponse,
  AttestAgentResponse_Result,
} from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import type { AttestationSession, NodeAttestor } from './node-attestor.ts';
import { beginCall, denialOf, serverError } from './server-call.ts';
import type { ServerClients } from './server-clients.ts';

/** What the agent shows. */
export interface Shown {
  readonly session: AttestationSession;
  /** PKCS#10 DER. */
  readonly csr: Buffer;
}

type Stream = ClientDuplexStream<AttestAgentRequest, AttestAgentResponse>;

/**
 * One AttestAgent call: the payload, an answer to each challenge, the server's verdict. Fails with
 * AGENT_ATTESTATION_REFUSED, AGENT_BANNED, AGENT_SERVER_UNAVAILABLE, AGENT_SERVER_ANSWER or what the
 * session fails with.
 */
export async function converse(
  clients: Pick<ServerClients, 'agent'>,
  { type, maxChallenges, timeoutMs }: Pick<NodeAttestor, 'type' | 'maxChallenges' | 'timeoutMs'>,
  { session, csr }: Shown,
): Promise<Result<AttestAgentResponse_Result>> {
  const begun = beginCall(() => clients.agent.attestAgent({ deadline: Date.now() + timeoutMs }));
  if (!begun.ok) return begun;
  const stream = begun.value;
  // What happens after the verdict is of no interest, and an error without a listener ends the process.
  stream.on('error', () => {});
  const data = { type, payload: session.payload };
  stream.write({ step: { $case: 'params', value: { data, params: { csr } } } });
  const result = await answerAll(stream, session, maxChallenges);
  if (result.ok) stream.end();
  else stream.cancel();
  return result;
}

async function answerAll(
  stream: Stream,
  session: AttestationSession,
  maxChallenges: number,
): Promise<Result<AttestAgentResponse_Result>> {
  const answers = stream[Symbol.asyncIterator]();
  for (let challenges = 0; ; challenges++) {
    const step = await nextStep(answers);
    if (!step.ok) return step;
    if (step.value.$case === 'result') return ok(step.value.value);
    if (challenges === maxChallenges) {
      return fail('AGENT_SERVER_ANSWER', 'the server sent more challenges than the method has');
    }
    const response = await session.respond(step.value.value);
    if (!response.ok) return response;
    stream.write({ step: { $case: 'challengeResponse', value: Buffer.from(response.value) } });
  }
}

async function nextStep(
  answers: AsyncIterator<AttestAgentResponse>,
): Promise<Result<NonNullable<AttestAgentResponse['step']>>> {
  try {
    const next = await answers.next();
    if (next.done === true) {
      return fail('AGENT_SERVER_ANSWER', 'the server ended the attestation without an answer');
    }
    const { step } = next.value;
    if (step !== undefined) return ok(step);
    return fail('AGENT_SERVER_ANSWER', 'the server sent an answer with nothing in it');
  } catch (cause) {
    return refusal(cause);
  }
}

function refusal(cause: unknown): Result<never> {
  // grpc-js throws its own errors, and streams theirs, whose code is a text.
  const error = cause as Partial<ServiceError>;
  if (typeof error.code !== 'number' || error.metadata === undefined) {
    return fail('AGENT_SERVER_UNAVAILABLE', 'the channel to the server broke', { cause });
  }
  const told = serverError(error as ServiceError);
  if (told.code === 'AGENT_SERVER_UNAVAILABLE') return { ok: false, error: told };
  if (denialOf(told) === 'banned') return fail('AGENT_BANNED', told.message);
  return fail('AGENT_ATTESTATION_REFUSED', told.message, { cause });
}
