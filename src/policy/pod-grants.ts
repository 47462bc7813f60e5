import { fail, ok, type Result } from '../base/result.ts';
import { checkDnsNames } from '../rules/dns-name.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { quarantinedAgent } from './caller.ts';
import { nowSeconds, type PolicyContext } from './context.ts';
import type { AgentCaller, GrantedPod, X509Grant } from './grant.ts';
import {
  authorizedEntry,
  bannedAgent,
  isWorkloadId,
  NO_ORIGIN,
  requireFresh,
  throughAgent,
} from './grants.ts';
import { seal } from './seal.ts';
import { requireUnvouched } from './zones.ts';

/** What is asked for a pod by an object of Kubernetes. */
export interface PodGrantRequest {
  readonly pod: GrantedPod;
  /** Entry of the pod; its parent is the agent of the pod's node. */
  readonly entryId: string;
  /** Some of those that it may have; all of them unless given. */
  readonly dnsNames?: readonly string[] | undefined;
  /** Names of the services that lead to the pod: it may have these in place of the entry's. */
  readonly serviceNames?: readonly string[] | undefined;
  /** Who asks, such as `pod-certificate:<cluster>`. */
  readonly requestedBy: string;
  /** Most seconds between the two dates; no such bound unless given. */
  readonly maxLifeSeconds?: number | undefined;
  /** Unix seconds before which it may not start; no such bound unless given. */
  readonly notBeforeSeconds?: number | undefined;
  /** Whether the node's agent has to be attested. */
  readonly requireAttestedNode: boolean;
}

/**
 * A pod's X.509-SVID that an object of Kubernetes asks for, judged as if the agent of the pod's node had
 * asked for it (design §5): the agent is attested, neither banned nor quarantined, and meets what zones
 * demand. Fails with POD_NO_IDENTITY, POD_DNS_NAMES, POD_NODE_NOT_ATTESTED, AGENT_BANNED,
 * AGENT_QUARANTINED and what {@link authorizedEntry} fails with.
 */
export function grantPodX509(asked: PodGrantRequest, context: PolicyContext): Result<X509Grant> {
  const fresh = requireFresh(context);
  if (!fresh.ok) return fresh;
  const entry = context.registry.entry(asked.entryId);
  if (entry === undefined) return fail('POD_NO_IDENTITY', 'its entry is being made');
  const names = dnsNamesOf(entry, asked);
  if (!names.ok) return names;
  const through = throughNode(entry, asked, context);
  if (!through.ok) return through;
  const { requestedBy, pod, maxLifeSeconds, notBeforeSeconds } = asked;
  return seal<X509Grant>({
    svid: 'x509',
    purpose: 'workload',
    spiffeId: entry.spiffeId,
    dnsNames: names.value,
    ttlSeconds: entry.x509SvidTtlSeconds,
    hint: entry.hint,
    ...through.value,
    requestedBy,
    pod: Object.freeze({ uid: pod.uid, rule: pod.rule }),
    maxLifeSeconds,
    notBeforeSeconds,
  });
}

/** Asking chooses among the names that the pod may have, and adds none. */
function dnsNamesOf(
  entry: Entry,
  { dnsNames, serviceNames }: PodGrantRequest,
): Result<readonly string[]> {
  const allowed = serviceNames ?? entry.dnsNames;
  const chosen = checkDnsNames(dnsNames ?? allowed);
  if (!chosen.ok) return chosen;
  const foreign = chosen.value.find((name) => !allowed.includes(name));
  if (foreign === undefined) return chosen;
  const whose = serviceNames === undefined ? 'its entry' : 'a service that selects it';
  return fail('POD_DNS_NAMES', `${JSON.stringify(foreign)} is no DNS name of ${whose}`);
}

type Through = ReturnType<typeof throughAgent> | (typeof NO_ORIGIN & Pick<X509Grant, 'entry'>);

function throughNode(
  entry: Entry,
  { requireAttestedNode }: PodGrantRequest,
  context: PolicyContext,
): Result<Omit<Through, 'requestedBy'>> {
  const agent = liveAgent(entry.parentId, context);
  if (agent.ok) {
    const caller: AgentCaller = {
      kind: 'agent',
      id: entry.parentId,
      agent: agent.value,
      firstUseOfSerial: undefined,
    };
    const allowed = authorizedEntry(caller, entry.id, context);
    return allowed.ok ? ok(throughAgent(caller, allowed.value, context)) : allowed;
  }
  if (requireAttestedNode || agent.error.code !== 'POD_NODE_NOT_ATTESTED') return agent;
  return withoutNode(entry, context);
}

/** Where nodes need not be attested: what no demand of zones is on, by the entry alone. */
function withoutNode(
  { id, revision, spiffeId, expiresAtSeconds }: Entry,
  context: PolicyContext,
): Result<Omit<Through, 'requestedBy'>> {
  const zone = requireUnvouched(spiffeId, context.zones);
  if (!zone.ok) return zone;
  if (expiresAtSeconds !== 0 && expiresAtSeconds <= nowSeconds(context)) {
    return fail('POD_NO_IDENTITY', 'its entry has expired');
  }
  if (!isWorkloadId(spiffeId, context)) {
    return fail('GRANT_SPIFFE_ID', `entry ${id} has a SPIFFE ID that no workload may have`);
  }
  return ok({ ...NO_ORIGIN, entry: Object.freeze({ id, revision }) });
}

/** An agent that could ask for itself now, as far as the server knows. */
export function liveAgent(id: SpiffeId, context: PolicyContext): Result<AgentRecord> {
  const { registry } = context;
  const agent = registry.agent(id);
  if (agent === undefined) {
    return fail('POD_NODE_NOT_ATTESTED', `no agent ${id.uri} has attested`);
  }
  if (agent.banned) return bannedAgent(id);
  if (agent.quarantine !== undefined) return quarantinedAgent(id, agent.quarantine);
  const endSeconds = Math.max(agent.expiresAtSeconds, agent.newExpiresAtSeconds ?? 0);
  if (endSeconds <= nowSeconds(context)) {
    return fail('POD_NODE_NOT_ATTESTED', `the SVID of agent ${id.uri} has expired`);
  }
  const serials = [agent.serial, agent.newSerial].filter((serial) => serial !== undefined);
  if (serials.some((serial) => registry.revocation(serial) !== undefined)) {
    return fail('POD_NODE_NOT_ATTESTED', `the SVID of agent ${id.uri} was revoked`);
  }
  return ok(agent);
}
