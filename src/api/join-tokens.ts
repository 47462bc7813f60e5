import { parseJoinToken } from '../attestation/join_token/payload.ts';
import { joinTokenAgentId } from '../attestation/join_token/server.ts';
import { hashJoinToken } from '../attestation/join_token/token-hash.ts';
import { toHex } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { CreateJoinTokenRequest } from '../gen/spire/api/server/agent/v1/agent.ts';
import type { JoinToken } from '../gen/spire/api/types/jointoken.ts';
import type { CallContext } from '../rpc/service.ts';
import { isConnectorId, isReservedId } from '../rules/reserved-ids.ts';
import { isMemberOf, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { type ApiContext, audit } from './context.ts';
import { fromWireId } from './convert/ids.ts';

/** Shortest join token that an operator may choose: shorter ones can be guessed. */
export const MIN_JOIN_TOKEN_LENGTH = 8;

/**
 * CreateJoinToken. The token leaves in the answer and is kept as a hash; the entry that an alias
 * asks for is made when the token is used.
 */
export async function createJoinToken(
  api: ApiContext,
  request: CreateJoinTokenRequest,
  context: CallContext,
): Promise<Result<JoinToken>> {
  if (request.ttl < 1) return fail('FIELD_INVALID', 'ttl must be at least 1 second');
  const token = chooseToken(api, request.token);
  if (!token.ok) return token;
  const agentId = joinTokenAgentId(api.registry, token.value);
  if (!agentId.ok) return agentId;
  const aliasId = checkAlias(api, request);
  if (!aliasId.ok) return aliasId;
  // An agent that joined with this text is known by it for as long as it exists.
  if (api.registry.agent(agentId.value) !== undefined) return tokenExists();
  const expiresAtSeconds = Math.floor(api.clock.nowMs() / 1000) + request.ttl;
  const created = await api.registry.createJoinToken({
    tokenHash: hashJoinToken(token.value),
    expiresAtSeconds,
    aliasId: aliasId.value,
  });
  if (!created.ok) return created;
  if (created.value === 'exists') return tokenExists();
  audit(api, context, { expiresAtSeconds, aliasId: aliasId.value?.uri });
  return ok({ value: token.value, expiresAt: BigInt(expiresAtSeconds) });
}

function tokenExists(): ReturnType<typeof fail> {
  return fail('JOIN_TOKEN_EXISTS', 'a join token with that value was made before');
}

function chooseToken(api: Pick<ApiContext, 'random'>, chosen: string): Result<string> {
  if (chosen === '') return ok(randomToken(api.random));
  const token = parseJoinToken(chosen);
  if (!token.ok) return token;
  if (token.value.length < MIN_JOIN_TOKEN_LENGTH) {
    return fail('FIELD_INVALID', `token must have at least ${MIN_JOIN_TOKEN_LENGTH} characters`);
  }
  return token;
}

/** A UUID of version 4 (RFC 9562 §5.4), as SPIRE's tokens are: 122 random bits. */
function randomToken(random: Random): string {
  const bytes = random.bytes(16);
  bytes[6] = 0x40 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = toHex(bytes);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

function checkAlias(
  api: ApiContext,
  { agentId }: CreateJoinTokenRequest,
): Result<SpiffeId | undefined> {
  if (agentId === undefined) return ok(undefined);
  const id = fromWireId(agentId, 'agent_id');
  if (!id.ok) return id;
  if (!isMemberOf(id.value, api.registry.trustDomain) || id.value.path === '') {
    return fail('FIELD_INVALID', `agent_id ${id.value.uri} is no ID of this trust domain`);
  }
  if (isReservedId(id.value)) {
    return fail('FIELD_INVALID', `agent_id ${id.value.uri} lies in the reserved area /spire`);
  }
  if (api.connectors !== undefined && isConnectorId(id.value)) {
    return fail('FIELD_INVALID', `agent_id ${id.value.uri} lies in the reserved area /connector`);
  }
  return id;
}
