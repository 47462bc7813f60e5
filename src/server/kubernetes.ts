import type { ApiContext } from '../api/context.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { createIssuerMetrics, type IssuerMetrics } from '../controllers/issuer/metrics.ts';
import { MeshCallers } from '../controllers/istio/mesh-callers.ts';
import {
  createPodCertificateMetrics,
  type PodCertificateMetrics,
} from '../controllers/pod-certificate/metrics.ts';
import { PodIdentities } from '../controllers/pod-identity.ts';
import { RuleController } from '../controllers/rule-controller.ts';
import { SERVICE_ACCOUNTS } from '../controllers/rule-kinds.ts';
import { StatusWriter } from '../controllers/rule-status.ts';
import {
  createServiceNames,
  SERVICES,
  type ServiceNames,
  serviceFrom,
} from '../controllers/service-names.ts';
import type { KubernetesCluster } from '../controllers/settings.ts';
import { type KubeApi, openKubeApi } from '../kube/kube-api.ts';
import type { LeaderElection } from '../kube/leader.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import { type KubeObject, metaOf } from '../kube/objects.ts';
import { watchKube } from '../kube/watch.ts';
import { startBundles } from './bundle-publishing.ts';
import { startIssuers } from './kube-issuers.ts';
import { startLeader } from './kube-leader.ts';
import { startPodCertificates } from './pod-certificates.ts';
import type { Receivers } from './receivers.ts';
import type { ServerBase } from './server.ts';

/** What the clusters share. */
interface KubernetesParts extends Pick<ApiContext, 'registry' | 'issuer' | 'policy'> {
  readonly podCertificates: PodCertificateMetrics;
  readonly issuers: IssuerMetrics;
}

/** What the clusters of configuration give to other parts. */
export interface ServerClusters {
  /** The rules of each. */
  readonly rules: readonly RuleController[];
  /** The mesh clients of those that have them served. */
  readonly meshes: readonly MeshCallers[];
  /** The clusters themselves. */
  readonly all: readonly ServerCluster[];
}

/** One cluster of configuration. */
export interface ServerCluster {
  readonly cluster: KubernetesCluster;
  readonly api: KubeApi;
  /** By whom status is written; undefined where it is not. */
  readonly statusLeader?: LeaderElection | undefined;
}

/**
 * Begins to derive entries from the rules of the clusters of configuration, and to answer the objects
 * that configuration has answered. None of them has to answer for the server to start. Fails with
 * KUBE_CONFIG.
 */
export async function startKubernetes(
  base: ServerBase,
  api: Pick<ApiContext, 'registry' | 'issuer' | 'policy'>,
  receivers: Receivers,
): Promise<Result<ServerClusters>> {
  const { config, metrics } = base;
  if (config.kubernetes.clusters.length === 0) return ok({ rules: [], meshes: [], all: [] });
  const parts = {
    ...api,
    podCertificates: createPodCertificateMetrics(metrics),
    issuers: createIssuerMetrics(metrics),
  };
  const controllers: RuleController[] = [];
  const meshes: MeshCallers[] = [];
  const all: ServerCluster[] = [];
  for (const cluster of config.kubernetes.clusters) {
    const started = await startCluster(base, cluster, parts);
    if (!started.ok) return started;
    all.push(started.value);
    if (!isServed(started.value)) continue;
    controllers.push(started.value.rules);
    meshes.push(...meshOf(started.value));
  }
  startBundles(base, { registry: api.registry, receivers, clusters: all });
  metrics.kept('gauge', 'rule_pods', 'Pods that rules are applied to.', ['cluster'], () =>
    controllers.map(({ name: cluster, podCount }) => [{ cluster }, podCount]),
  );
  metrics.kept('gauge', 'rule_entries', 'Entries that rules give.', ['cluster'], () =>
    controllers.map(({ name: cluster, entryCount }) => [{ cluster }, entryCount]),
  );
  return ok({ rules: controllers, meshes, all });
}

/** Whether rules say who the pods of a cluster are; others are published to alone. */
function isServed(cluster: ServerCluster): cluster is ClusterParts {
  return 'rules' in cluster;
}

/** The mesh clients of a cluster, where configuration has them served. */
function meshOf({ cluster, api, identities }: ClusterParts): readonly MeshCallers[] {
  const { name, istio: settings } = cluster;
  if (settings === undefined) return [];
  return [new MeshCallers({ name, api, settings, identities: identities() })];
}

async function startCluster(
  base: ServerBase,
  cluster: KubernetesCluster,
  parts: KubernetesParts,
): Promise<Result<ServerCluster>> {
  const { config, clock, random, log, life } = base;
  const { name, kubeconfigPath, context } = cluster;
  const metrics = kubeMetricsOf(base.metrics);
  const api = await openKubeApi({ kubeconfigPath, context }, { clock, metrics, name });
  if (!api.ok) return fail('KUBE_CONFIG', `kubernetes.clusters, ${name}: ${api.error.message}`);
  life.add(`API server of ${name}`, () => api.value.close());
  if (!cluster.rules.enabled) return ok({ cluster, api: api.value });
  const rules = new RuleController({
    cluster,
    api: api.value,
    trustDomain: config.trustDomain,
    servesConnectors: config.connectors !== undefined,
    derived: parts.registry.derived,
    clock,
    random,
    log: log.child({ cluster: name }),
    metrics,
  });
  life.add(`rules of ${name}`, () => rules.stop());
  let identities: PodIdentities | undefined;
  const one: ClusterParts = {
    cluster,
    api: api.value,
    rules,
    statusLeader: startStatus(base, { cluster, api: api.value, rules }),
    identities: () => {
      identities ??= podIdentities(base, { cluster, api: api.value, rules }, parts);
      return identities;
    },
  };
  startPodObjects(base, one, parts);
  if (cluster.issuers !== undefined) {
    startIssuers(base, { ...parts, ...one, settings: cluster.issuers, metrics: parts.issuers });
  }
  return ok(one);
}

interface ClusterParts extends ServerCluster {
  readonly rules: RuleController;
  /** Made, with its watch, when the first part asks for it. */
  readonly identities: () => PodIdentities;
}

/** Has the status of rules written, where configuration says so. */
function startStatus(
  base: ServerBase,
  { cluster, api, rules }: Pick<ClusterParts, 'cluster' | 'api' | 'rules'>,
): LeaderElection | undefined {
  const { clock, life } = base;
  const { status } = cluster.rules;
  if (status === undefined) return undefined;
  const log = base.log.child({ cluster: cluster.name, part: 'rule status' });
  const lease = { namespace: status.leaseNamespace, name: status.leaseName };
  const leader = startLeader(base, { api, lease, log });
  life.add(`lease of ${cluster.name}`, () => leader.stop());
  const writer = new StatusWriter({
    api,
    rules,
    leader,
    clock,
    onFault: ({ code, message: reason }) => log.warn({ code, reason }, 'status is not written'),
  });
  life.add(`rule status of ${cluster.name}`, () => writer.stop());
  return leader;
}

/** Answers PodCertificateRequests, where configuration says so. */
function startPodObjects(base: ServerBase, one: ClusterParts, parts: KubernetesParts): void {
  const { cluster, api } = one;
  const settings = cluster.podCertificates;
  if (settings === undefined) return;
  const log = base.log.child({ cluster: cluster.name, part: 'pod certificates' });
  const lease = { namespace: settings.leaseNamespace, name: settings.leaseName };
  const leader = startLeader(base, { api, lease, log });
  base.life.add(`pod certificate lease of ${cluster.name}`, () => leader.stop());
  startPodCertificates(base, {
    cluster: cluster.name,
    settings,
    api,
    identities: one.identities(),
    issuer: parts.issuer,
    leader,
    metrics: parts.podCertificates,
  });
}

/** Who the pods of a cluster are; needed only where something asks for them. */
function podIdentities(
  base: ServerBase,
  { cluster, api, rules }: Pick<ClusterParts, 'cluster' | 'api' | 'rules'>,
  { policy }: KubernetesParts,
): PodIdentities {
  const { clock, random, life, config } = base;
  const log = base.log.child({ cluster: cluster.name });
  const watching = { api, clock, random, log, metrics: kubeMetricsOf(base.metrics) };
  const project = (object: KubeObject): string => metaOf(object).uid;
  const serviceAccounts = watchKube({ ...watching, resource: SERVICE_ACCOUNTS, project });
  life.add(`service accounts of ${cluster.name}`, () => serviceAccounts.stop());
  const names = (): ServiceNames => {
    const services = watchKube({ ...watching, resource: SERVICES, project: serviceFrom });
    life.add(`services of ${cluster.name}`, () => services.stop());
    return createServiceNames(services, cluster.rules.clusterDomain);
  };
  return new PodIdentities({
    pods: rules,
    serviceAccounts,
    services: cluster.podCertificates?.serviceDns === true ? names() : undefined,
    policy,
    requireAttestedNode: cluster.requireAttestedNode ?? config.zones.rules.length > 0,
  });
}
