import { fail, ok, type Result } from '../base/result.ts';
import { RuleController } from '../controllers/rule-controller.ts';
import { StatusWriter } from '../controllers/rule-status.ts';
import type { KubernetesCluster } from '../controllers/settings.ts';
import { type KubeApi, openKubeApi } from '../kube/kube-api.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import type { Registry } from '../registry/registry.ts';
import { type PublishingCluster, startBundles } from './bundle-publishing.ts';
import { startLeader } from './kube-leader.ts';
import type { Receivers } from './receivers.ts';
import type { ServerBase } from './server.ts';

/**
 * Begins to derive entries from the rules of the clusters of configuration. None of them has to answer
 * for the server to start. Fails with KUBE_CONFIG.
 */
export async function startKubernetes(
  base: ServerBase,
  registry: Registry,
  receivers: Receivers,
): Promise<Result<readonly RuleController[]>> {
  const { config, clock, random, log, metrics, life } = base;
  const controllers: RuleController[] = [];
  const publishing: PublishingCluster[] = [];
  const kubeMetrics = kubeMetricsOf(metrics);
  for (const cluster of config.kubernetes.clusters) {
    const { name, kubeconfigPath, context } = cluster;
    const parts = { clock, metrics: kubeMetrics, name };
    const api = await openKubeApi({ kubeconfigPath, context }, parts);
    if (!api.ok) {
      return fail('KUBE_CONFIG', `kubernetes.clusters, ${name}: ${api.error.message}`);
    }
    life.add(`API server of ${name}`, () => api.value.close());
    const controller = new RuleController({
      cluster,
      api: api.value,
      trustDomain: config.trustDomain,
      derived: registry.derived,
      clock,
      random,
      log: log.child({ cluster: name }),
      metrics: kubeMetrics,
    });
    life.add(`rules of ${name}`, () => controller.stop());
    startStatus(base, { cluster, api: api.value, rules: controller });
    controllers.push(controller);
    publishing.push({ cluster, api: api.value });
  }
  startBundles(base, { registry, receivers, clusters: publishing });
  if (controllers.length > 0) {
    metrics.kept('gauge', 'rule_pods', 'Pods that rules are applied to.', ['cluster'], () =>
      controllers.map(({ name: cluster, podCount }) => [{ cluster }, podCount]),
    );
    metrics.kept('gauge', 'rule_entries', 'Entries that rules give.', ['cluster'], () =>
      controllers.map(({ name: cluster, entryCount }) => [{ cluster }, entryCount]),
    );
  }
  return ok(controllers);
}

interface StatusParts {
  readonly cluster: KubernetesCluster;
  readonly api: KubeApi;
  readonly rules: RuleController;
}

/** Has the status of rules written, where configuration says so. */
function startStatus(base: ServerBase, { cluster, api, rules }: StatusParts): void {
  const { clock, life } = base;
  const { status } = cluster.rules;
  if (status === undefined) return;
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
}
