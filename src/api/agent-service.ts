import { fail, ok, type Result } from '../base/result.ts';
import {
  type AgentService,
  type ListAgentsRequest,
  ListAgentsResponse,
  type PostStatusRequest,
  type PostStatusResponse,
  type RenewAgentRequest,
  type RenewAgentResponse,
} from '../gen/spire/api/server/agent/v1/agent.ts';
import type { SPIFFEID } from '../gen/spire/api/types/spiffeid.ts';
import { quarantinedAgent } from '../policy/caller.ts';
import { grantRenewedAgentX509 } from '../policy/grants.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import type { AgentRecord } from '../rules/entry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { type Attestation, attestAgent } from './attest-agent.ts';
import { fitAnswer } from './batch.ts';
import { type ApiContext, agentCaller, audit, noteAct } from './context.ts';
import { fromWireAgentFilter, toWireAgent } from './convert/agents.ts';
import { fromWireId } from './convert/ids.ts';
import { maskAgent } from './convert/masks.ts';
import { toWireX509 } from './convert/svids.ts';
import { createJoinToken } from './join-tokens.ts';
import { withDeniedReason } from './permission-denied.ts';

/** Longest version text of an agent, in bytes (PostStatus, push). */
export const MAX_AGENT_VERSION_BYTES = 255;

/** What operators are told of a ban that the store does not have yet. */
const LOCAL_BAN_NOTE =
  'the database does not answer: the ban is in force on this server only, survives its restart and is written to the database when that answers again';

/** `spire.api.server.agent.v1.Agent`: how agents join and stay, and what operators see of them. */
export function createAgentService(
  api: ApiContext,
  attestation: Attestation,
): Handlers<AgentService> {
  return {
    attestAgent: (requests, stream, context) =>
      attestAgent(api, attestation, requests, stream, context),
    renewAgent: (request, context) => renewAgent(api, request, context),
    postStatus: (request, context) => postStatus(api, request, context),
    createJoinToken: (request, context) => createJoinToken(api, request, context),
    countAgents(request) {
      const filter = fromWireAgentFilter(request.filter);
      return filter.ok ? ok({ count: api.registry.countAgents(filter.value) }) : filter;
    },
    listAgents: (request) => listAgents(api, request),
    getAgent(request) {
      const agent = knownAgent(api, request.id);
      return agent.ok ? ok(maskAgent(toWireAgent(agent.value), request.outputMask)) : agent;
    },
    async deleteAgent(request, context) {
      const id = fromWireId(request.id, 'id');
      if (!id.ok) return id;
      const deleted = await api.registry.deleteAgent(id.value);
      if (!deleted.ok) return deleted;
      if (!deleted.value) return unknownAgent(id.value);
      audit(api, context, { agentId: id.value.uri });
      await noteAct(api, context, { act: 'evict', spiffeId: id.value.uri });
      return ok({});
    },
    async banAgent(request, context) {
      const id = fromWireId(request.id, 'id');
      if (!id.ok) return id;
      return banAgent(api, id.value, context);
    },
  };
}

/**
 * A ban by the admin socket takes effect on this server even while its store is away (design §3). One
 * by TCP may have reached any server, so there it is the store's or it is refused.
 */
async function banAgent(
  api: ApiContext,
  id: SpiffeId,
  context: CallContext,
): Promise<Result<Record<string, never>>> {
  const orHere = context.connection.peer.kind === 'process';
  const banned = await api.registry.banAgent(id, orHere);
  if (!banned.ok) {
    // In force all the same; who did it is to be found.
    if (banned.error.code === 'BAN_NOT_KEPT') {
      audit(api, context, { agentId: id.uri, kept: false });
      await noteAct(api, context, { act: 'ban', spiffeId: id.uri });
    }
    return banned;
  }
  if (banned.value === undefined) return unknownAgent(id);
  audit(api, context, { agentId: id.uri, reach: banned.value });
  await noteAct(api, context, { act: 'ban', spiffeId: id.uri });
  if (banned.value === 'here') context.note(LOCAL_BAN_NOTE);
  return ok({});
}

function listAgents(api: ApiContext, request: ListAgentsRequest): Result<Encoded> {
  const filter = fromWireAgentFilter(request.filter);
  if (!filter.ok) return filter;
  const { pageSize, pageToken } = request;
  const page = api.registry.listAgents(filter.value, { pageSize, pageToken });
  if (!page.ok) return page;
  return fitAnswer(ListAgentsResponse, {
    agents: page.value.items.map((agent) => maskAgent(toWireAgent(agent), request.outputMask)),
    nextPageToken: page.value.nextPageToken,
  });
}

/** The new SVID becomes the agent's own when it is first used; until then the old one stays good. */
async function renewAgent(
  api: ApiContext,
  request: RenewAgentRequest,
  context: CallContext,
): Promise<Result<RenewAgentResponse>> {
  const caller = agentCaller(context);
  if (!caller.ok) return caller;
  const csr = request.params?.csr;
  if (csr === undefined || csr.length === 0) return fail('FIELD_MISSING', 'params.csr is required');
  const grant = grantRenewedAgentX509(caller.value, api.policy);
  if (!grant.ok) return { ok: false, error: withDeniedReason(grant.error) };
  const [issued] = await api.issuer.issueX509Batch([{ grant: grant.value, csr }]);
  if (issued === undefined) return fail('INTERNAL', 'issuance gave no answer');
  if (!issued.ok) return { ok: false, error: withDeniedReason(issued.error) };
  const { serialDecimal: newSerial, expiresAtSeconds: newExpiresAtSeconds } = issued.value;
  const change = { kind: 'renewed', newSerial, newExpiresAtSeconds } as const;
  const changed = await api.registry.changeAgent(caller.value.id, change);
  if (!changed.ok) return changed;
  const standing = stillStanding(changed.value, caller.value.id);
  if (!standing.ok) return { ok: false, error: withDeniedReason(standing.error) };
  audit(api, context, { serial: newSerial, expiresAtSeconds: newExpiresAtSeconds });
  return ok({ svid: toWireX509(issued.value, '') });
}

/** The agent may have been deleted or banned while its SVID was being signed. */
function stillStanding(agent: AgentRecord | undefined, id: SpiffeId): Result<void> {
  if (agent?.quarantine !== undefined) return quarantinedAgent(id, agent.quarantine);
  const reason =
    agent === undefined ? 'AGENT_NOT_ATTESTED' : agent.banned ? 'AGENT_BANNED' : undefined;
  if (reason === undefined) return ok(undefined);
  return fail(reason, `agent ${id.uri} was deleted or banned meanwhile`, { details: { reason } });
}

async function postStatus(
  api: ApiContext,
  request: PostStatusRequest,
  context: CallContext,
): Promise<Result<PostStatusResponse>> {
  const caller = agentCaller(context);
  if (!caller.ok) return caller;
  const noted = await noteAgentVersion(api, caller.value.agent, request.agentVersion);
  return noted.ok ? ok({}) : noted;
}

/** Writes an agent's version down where it changed. */
export async function noteAgentVersion(
  api: Pick<ApiContext, 'registry'>,
  agent: AgentRecord,
  agentVersion: string,
): Promise<Result<void>> {
  if (Buffer.byteLength(agentVersion) > MAX_AGENT_VERSION_BYTES) {
    return fail('FIELD_INVALID', `agent_version is over ${MAX_AGENT_VERSION_BYTES} bytes`);
  }
  if (!agentVersion.isWellFormed() || /[\0\ufffd]/.test(agentVersion)) {
    return fail('FIELD_INVALID', 'agent_version holds a NUL or is not valid UTF-8');
  }
  if (agentVersion === '' || agentVersion === agent.agentVersion) return ok(undefined);
  const changed = await api.registry.changeAgent(agent.id, { kind: 'status', agentVersion });
  return changed.ok ? ok(undefined) : changed;
}

function knownAgent(api: ApiContext, message: SPIFFEID | undefined): Result<AgentRecord> {
  const id = fromWireId(message, 'id');
  if (!id.ok) return id;
  const agent = api.registry.agent(id.value);
  return agent === undefined ? unknownAgent(id.value) : ok(agent);
}

function unknownAgent(id: SpiffeId): ReturnType<typeof fail> {
  return fail('AGENT_NOT_FOUND', `no agent ${id.uri}`);
}
