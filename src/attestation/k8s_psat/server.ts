import { fail, ok, type Result } from '../../base/result.ts';
import { makeSelector, type Selector } from '../../rules/selector.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { AttestedNode, NodeAttestor } from '../attestor.ts';
import { decodeK8sPsatPayload, K8S_PSAT_TYPE, MAX_K8S_PSAT_BYTES } from './payload.ts';
import { type PsatCluster, type PsatStanding, standingOf } from './standing.ts';

const LIMITS = {
  payloadBytes: MAX_K8S_PSAT_BYTES,
  responseBytes: 0,
  challenges: 0,
  responseMs: 0,
  totalMs: 30_000,
} as const;

/** What the attestor needs. */
export interface K8sPsatParts {
  readonly trustDomain: TrustDomain;
  readonly clusters: readonly PsatCluster[];
}

/**
 * A projected token of the agent's service account, SPIRE's `k8s_psat`: the API server says whose it is,
 * and pod and node must stand as the token says. Whoever reads the token can use it while it lasts.
 */
export function createK8sPsatAttestor({ trustDomain, clusters }: K8sPsatParts): NodeAttestor {
  const byName = new Map(clusters.map((cluster) => [cluster.name, cluster]));
  return {
    type: K8S_PSAT_TYPE,
    limits: LIMITS,
    async attest({ payload }) {
      const shown = decodeK8sPsatPayload(payload);
      if (!shown.ok) return shown;
      const cluster = byName.get(shown.value.cluster);
      if (cluster === undefined) {
        const asked = JSON.stringify(shown.value.cluster);
        return fail('K8S_PSAT_CLUSTER', `this server knows no cluster ${asked}`);
      }
      const standing = await standingOf(cluster, shown.value.token);
      if (!standing.ok) return standing;
      const node = nodeOf(trustDomain, cluster, standing.value);
      return node.ok ? ok({ kind: 'attested', node: node.value }) : node;
    },
  };
}

function nodeOf(
  trustDomain: TrustDomain,
  cluster: PsatCluster,
  standing: PsatStanding,
): Result<AttestedNode> {
  const { nodeUid, podUid, credentialId } = standing;
  const path = `/spire/agent/${K8S_PSAT_TYPE}/${cluster.name}/${nodeUid}`;
  const agentId = spiffeIdFromPath(trustDomain, path);
  if (!agentId.ok) return fail('ATTESTATION_ID', `agent ID: ${agentId.error.message}`);
  const selectors = selectorsOf(cluster, standing);
  if (!selectors.ok) return selectors;
  return ok({
    agentId: agentId.value,
    selectors: selectors.value,
    canReattest: true,
    assurance: { binding: 'bearer', zone: undefined, release: undefined },
    aliasDraft: undefined,
    joinTokenHash: undefined,
    auditFacts: { podUid, ...(credentialId === undefined ? {} : { credentialId }) },
  });
}

/** SPIRE's, letter for letter. */
function selectorsOf(cluster: PsatCluster, standing: PsatStanding): Result<readonly Selector[]> {
  const { podLabelKeys, nodeLabelKeys } = cluster;
  const values = [
    `cluster:${cluster.name}`,
    `agent_ns:${standing.namespace}`,
    `agent_sa:${standing.serviceAccount}`,
    `agent_pod_name:${standing.podName}`,
    `agent_pod_uid:${standing.podUid}`,
    ...(standing.nodeIp === undefined ? [] : [`agent_node_ip:${standing.nodeIp}`]),
    `agent_node_name:${standing.nodeName}`,
    `agent_node_uid:${standing.nodeUid}`,
    ...labelled('agent_node_label', standing.nodeLabels, nodeLabelKeys),
    ...labelled('agent_pod_label', standing.podLabels, podLabelKeys),
  ];
  const selectors: Selector[] = [];
  for (const value of values) {
    const selector = makeSelector(K8S_PSAT_TYPE, value);
    if (!selector.ok) return selector;
    selectors.push(selector.value);
  }
  return ok(selectors);
}

function labelled(
  kind: string,
  labels: ReadonlyMap<string, string>,
  wanted: ReadonlySet<string>,
): readonly string[] {
  return [...labels]
    .filter(([key]) => wanted.has(key))
    .map(([key, value]) => `${kind}:${key}:${value}`);
}
