import { fail, ok, type Result } from '../../base/result.ts';
import { type BoundPodRefusal, boundPodOf } from '../../kube/bound-pod.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { reviewToken } from '../../kube/token-review.ts';
import { quote } from '../../rules/connector/fields.ts';
import type { ConnectorAccount, ConnectorGroup } from '../../rules/connector/group.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';

/** A cluster whose pods may be connectors. */
export interface ConnectorCluster {
  readonly name: string;
  readonly api: KubeApi;
  /** The ID that the agent of a node has there, whether or not it has attested. */
  agentOf(node: KubeObject): Result<SpiffeId>;
}

/** The pod that a token was given to. */
export interface ShownPod {
  readonly cluster: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  readonly nodeName: string;
  /** The ID that the agent of its node has, whether or not it has attested. */
  readonly agentId: SpiffeId | undefined;
  /** Number of the token (KEP-4193); undefined where the cluster gives none. */
  readonly credentialId: string | undefined;
}

/** A token, and what says where it is looked at. */
export interface ShownToken {
  readonly token: string;
  /** As the connector names it; empty where it does not. */
  readonly cluster: string;
  readonly group: ConnectorGroup;
  /** Whether the service account has to be one of the group's. */
  readonly mustBeListed: boolean;
}

/** Finds pods by their tokens. */
export interface PodFinder {
  /**
   * Fails with CONNECTOR_CLUSTER, CONNECTOR_BUSY, CONNECTOR_TOKEN, CONNECTOR_TOKEN_UNBOUND,
   * CONNECTOR_CLAIMANT_DENIED, CONNECTOR_POD, and CONNECTOR_KUBE_API where the cluster cannot be asked.
   */
  find(shown: ShownToken, signal: AbortSignal): Promise<Result<ShownPod>>;
}

/** What pods are found with. */
export interface PodFinderOptions {
  readonly clusters: readonly ConnectorCluster[];
  /** Whom a token must be for: one of these. */
  readonly audiences: readonly string[];
  /** Tokens that may be under review at once. */
  readonly maxReviews: number;
}

/**
 * Has tokens judged by the API server of one cluster: another one, asked too, could use what it was shown
 * (the token is good at the first).
 */
export function createPodFinder(options: PodFinderOptions): PodFinder {
  let underReview = 0;
  return {
    async find(shown, signal) {
      const cluster = chooseCluster(options.clusters, shown);
      if (!cluster.ok) return cluster;
      if (underReview >= options.maxReviews) {
        return fail('CONNECTOR_BUSY', `${underReview} tokens are being reviewed`);
      }
      underReview++;
      try {
        return await findIn(cluster.value, options.audiences, shown, signal);
      } finally {
        underReview--;
      }
    },
  };
}

function chooseCluster(
  clusters: readonly ConnectorCluster[],
  { cluster: asked, group }: ShownToken,
): Result<ConnectorCluster> {
  if (asked !== '') {
    const named = clusters.find(({ name }) => name === asked);
    if (named !== undefined) return ok(named);
    return fail('CONNECTOR_CLUSTER', `this server has no cluster ${quote(asked)}`);
  }
  const listed = group.serviceAccounts.map(({ cluster }) => cluster);
  const isOpen = listed.length === 0 || listed.includes('');
  const possible = isOpen ? clusters : clusters.filter(({ name }) => listed.includes(name));
  const [only, ...others] = possible;
  if (only !== undefined && others.length === 0) return ok(only);
  const what = only === undefined ? 'no cluster of the server' : 'several clusters';
  return fail(
    'CONNECTOR_CLUSTER',
    `the token may be of ${what}: kubernetes_cluster has to say which`,
  );
}

async function findIn(
  { name: cluster, api, agentOf }: ConnectorCluster,
  audiences: readonly string[],
  { token, group, mustBeListed }: ShownToken,
  signal: AbortSignal,
): Promise<Result<ShownPod>> {
  const reviewed = await reviewToken(api, token, audiences, signal);
  if (!reviewed.ok) {
    const code = reviewed.error.code === 'KUBE_TOKEN' ? 'CONNECTOR_TOKEN' : 'CONNECTOR_KUBE_API';
    return fail(code, `cluster ${cluster}: ${reviewed.error.message}`, { cause: reviewed.error });
  }
  const { serviceAccount: account, username, credentialId } = reviewed.value;
  if (mustBeListed && (account === undefined || !isListed(group, { cluster, ...account }))) {
    const who = quote(username);
    return fail(
      'CONNECTOR_CLAIMANT_DENIED',
      `${who} of cluster ${cluster} is not of ${group.name}`,
    );
  }
  const bound = await boundPodOf(api, reviewed.value, signal);
  if (!bound.ok) return refusalOf(cluster, bound.refusal);
  const { pod: _, node, isEnding, ...pod } = bound.value;
  if (isEnding)
    return fail('CONNECTOR_POD', `pod ${pod.namespace}/${pod.podName} is being deleted`);
  const agentId = agentOf(node);
  return ok({ cluster, ...pod, agentId: agentId.ok ? agentId.value : undefined, credentialId });
}

function isListed({ serviceAccounts }: ConnectorGroup, account: ConnectorAccount): boolean {
  return serviceAccounts.some(
    ({ cluster, namespace, name }) =>
      (cluster === '' || cluster === account.cluster) &&
      namespace === account.namespace &&
      name === account.name,
  );
}

const CODES = {
  unbound: 'CONNECTOR_TOKEN_UNBOUND',
  pod: 'CONNECTOR_POD',
  node: 'CONNECTOR_POD',
  unasked: 'CONNECTOR_KUBE_API',
} as const;

function refusalOf(cluster: string, { kind, message, cause }: BoundPodRefusal): Result<never> {
  return fail(CODES[kind], `cluster ${cluster}: ${message}`, { cause });
}
