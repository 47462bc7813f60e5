import { fail, ok, type Result } from '../base/result.ts';
import { isConnectorId } from '../rules/reserved-ids.ts';
import { isMemberOf, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { resolveConnector } from './connector-callers.ts';
import type { PolicyContext } from './context.ts';
import type { AdminCaller, AgentCaller, Caller, DownstreamCaller, LocalCaller } from './grant.ts';
import { type CallerKind, METHOD_CALLERS } from './methods.ts';
import { isExpired, isRevoked, type SvidFacts } from './svid-facts.ts';

export type { SvidFacts } from './svid-facts.ts';

/** The push stream: a quarantined agent is told there that it is, and when that ends. */
const SYNC = '/signet.agent.v1.AgentSync/Sync';

/** A process on the admin socket, as the kernel states it. */
export interface ProcessFacts {
  readonly kind: 'process';
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  readonly pid: number;
}

/** What is known for certain about the other end of a connection. */
export type PeerFacts = ProcessFacts | SvidFacts | { readonly kind: 'anonymous' };

/**
 * Judges a call by who is at the other end: the caller, as the first of local, admin, downstream,
 * connector, agent, anonymous that the peer is and the method allows. A refused agent's error carries
 * `details.reason`, the name of a `PermissionDeniedDetails.Reason`, by which stock agents decide to
 * attest again or to stop.
 */
export function authorizeCall(
  method: string,
  peer: PeerFacts,
  context: PolicyContext,
): Result<Caller> {
  const allowed = METHOD_CALLERS.get(method);
  if (allowed === undefined) {
    return fail('METHOD_NOT_LISTED', `${method} is not in the table of calls`);
  }
  switch (peer.kind) {
    case 'process':
      return authorizeProcess(method, allowed, peer, context);
    case 'svid':
      return authorizeSvid(method, allowed, peer, context);
    case 'anonymous':
      return allowed.includes('anonymous')
        ? ok({ kind: 'anonymous' })
        : refuse(method, 'anonymous');
  }
}

/** Whether a process may use the admin socket at all, whatever it calls. */
function resolveLocal(peer: ProcessFacts, context: PolicyContext): Result<LocalCaller> {
  const { uid, gid, pid } = peer;
  const member =
    context.adminGid !== undefined &&
    (gid === context.adminGid || peer.groups.includes(context.adminGid));
  if (uid === 0 || uid === context.serverUid || member) return ok({ kind: 'local', uid, gid, pid });
  return fail('CALLER_NOT_LOCAL_OPERATOR', `uid ${uid} may not use the admin socket`);
}

/**
 * Whether an SVID is that of a live agent: not expired, known, not banned, and either its current
 * serial or the renewed one that was not used yet. For push streams, which are judged again at
 * every change of their agent.
 */
export function resolveAgent(peer: SvidFacts, context: PolicyContext): Result<AgentCaller> {
  const { id, serialDecimal: serial } = peer;
  if (isRevoked(peer, context)) return refuseRevoked(peer);
  if (isExpired(peer, context)) {
    return refuseAgent('AGENT_EXPIRED', `SVID of agent ${id.uri} has expired`);
  }
  const agent = context.registry.agent(id);
  if (agent === undefined) return refuseAgent('AGENT_NOT_ATTESTED', `no agent ${id.uri}`);
  if (agent.banned) return refuseAgent('AGENT_BANNED', `agent ${id.uri} is banned`);
  if (serial === agent.serial) return ok({ kind: 'agent', id, agent, firstUseOfSerial: undefined });
  if (serial === agent.newSerial) return ok({ kind: 'agent', id, agent, firstUseOfSerial: serial });
  return refuseAgent('AGENT_NOT_ACTIVE', `agent ${id.uri} called with serial ${serial}, replaced`);
}

function authorizeProcess(
  method: string,
  allowed: readonly CallerKind[],
  peer: ProcessFacts,
  context: PolicyContext,
): Result<Caller> {
  const local = resolveLocal(peer, context);
  if (!local.ok) return local;
  return allowed.includes('local') ? local : refuse(method, 'local');
}

function authorizeSvid(
  method: string,
  allowed: readonly CallerKind[],
  peer: SvidFacts,
  context: PolicyContext,
): Result<Caller> {
  // The chain was judged when the connection opened, which may outlive it. Nobody is anyone with an
  // SVID that was taken back, whoever it names: an agent may still attest anew, as an anonymous caller.
  if (isRevoked(peer, context)) {
    // A connector acts on its own refusal: it stops and does not enrol again.
    const isConnector = allowed.includes('connector') && isConnectorId(peer.id);
    if (isConnector) return resolveConnector(peer, context);
    return allowed.includes('anonymous') ? ok({ kind: 'anonymous' }) : refuseRevoked(peer);
  }
  const expired = isExpired(peer, context);
  // An entry from before connectors were served, or of a rule, makes none of them more than it is.
  const byEntry = context.connectors === undefined || !isConnectorId(peer.id);
  const admin =
    allowed.includes('admin') && !expired ? resolveAdmin(peer, byEntry, context) : undefined;
  if (admin !== undefined) return ok(admin);
  if (!isMemberOf(peer.id, context.registry.trustDomain)) {
    return fail('CALLER_FOREIGN', `${peer.id.uri} is of another trust domain`);
  }
  const mayBeDownstream = allowed.includes('downstream') && !expired && byEntry;
  const downstream = mayBeDownstream ? resolveDownstream(peer, context) : undefined;
  if (downstream !== undefined) return ok(downstream);
  if (allowed.includes('connector') && isConnectorId(peer.id)) {
    return resolveConnector(peer, context);
  }
  if (!allowed.includes('agent')) {
    return refuse(method, expired ? `the expired SVID of ${peer.id.uri}` : peer.id.uri);
  }
  const agent = whereOpen(method, resolveAgent(peer, context));
  return agent.ok || !allowed.includes('anonymous') ? agent : ok({ kind: 'anonymous' });
}

/** An agent whose DPU is out may call nothing but what tells it so, and attest. */
function whereOpen(method: string, caller: Result<AgentCaller>): Result<AgentCaller> {
  if (!caller.ok || method === SYNC || caller.value.agent.quarantine === undefined) return caller;
  return quarantinedAgent(caller.value.id, caller.value.agent.quarantine);
}

/** The refusal of an agent whose DPU is out; stock agents act on it as on a ban: they drop all and end. */
export function quarantinedAgent(id: SpiffeId, reason: string): Result<never> {
  return fail('AGENT_QUARANTINED', `agent ${id.uri}: ${reason}`, {
    details: { reason: 'AGENT_BANNED' },
  });
}

function resolveAdmin(
  { id }: SvidFacts,
  byEntry: boolean,
  context: PolicyContext,
): AdminCaller | undefined {
  const listed = context.adminIds.some((admin) => admin.uri === id.uri);
  const entry = listed || !byEntry ? undefined : context.registry.adminEntry(id);
  return listed || entry !== undefined ? { kind: 'admin', id } : undefined;
}

function resolveDownstream(peer: SvidFacts, context: PolicyContext): DownstreamCaller | undefined {
  const entry = context.registry.downstreamEntry(peer.id);
  return entry === undefined ? undefined : { kind: 'downstream', id: peer.id, entry };
}

function refuse(method: string, who: string): Result<never> {
  return fail('CALLER_NOT_ALLOWED', `${who} may not call ${method}`);
}

/** Agents read it as an SVID that is no longer theirs, and attest again where they can. */
function refuseRevoked({ id, serialDecimal: serial }: SvidFacts): Result<never> {
  const reason = 'AGENT_NOT_ACTIVE';
  return fail('SVID_REVOKED', `the SVID ${serial} of ${id.uri} was revoked`, {
    details: { reason },
  });
}

function refuseAgent(
  reason: 'AGENT_EXPIRED' | 'AGENT_NOT_ATTESTED' | 'AGENT_NOT_ACTIVE' | 'AGENT_BANNED',
  message: string,
): Result<never> {
  return fail(reason, message, { details: { reason } });
}
