import type { NodeAttestor } from '../attestation/attestor.ts';
import { createK8sPsatAttestor } from '../attestation/k8s_psat/server.ts';
import type { PsatCluster } from '../attestation/k8s_psat/standing.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { openKubeApi } from '../kube/kube-api.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import type { Registry } from '../registry/registry.ts';
import type { K8sPsatCluster } from './k8s-psat-settings.ts';
import type { ServerBase } from './server.ts';

/**
 * The attestor `k8s_psat` for the clusters of configuration; none of them is asked yet, so that a cluster
 * that is away keeps no server from starting. Fails with ATTESTATION_SETTINGS.
 */
export async function createK8sPsat(
  clusters: readonly K8sPsatCluster[],
  { clock, metrics }: Pick<ServerBase, 'clock' | 'metrics'>,
  { trustDomain }: Pick<Registry, 'trustDomain'>,
): Promise<Result<NodeAttestor>> {
  const opened: PsatCluster[] = [];
  for (const { name, kubeconfigPath, context, ...rules } of clusters) {
    const place = { kubeconfigPath, context };
    const api = await openKubeApi(place, { clock, metrics: kubeMetricsOf(metrics), name });
    if (!api.ok) {
      const setting = `attestation.k8sPsat.clusters, ${name}`;
      return fail('ATTESTATION_SETTINGS', `${setting}: ${api.error.message}`);
    }
    opened.push({
      name,
      api: api.value,
      serviceAccounts: new Set(rules.serviceAccounts),
      audiences: rules.audiences,
      nodeLabelKeys: new Set(rules.nodeLabelKeys),
      podLabelKeys: new Set(rules.podLabelKeys),
    });
  }
  return ok(createK8sPsatAttestor({ trustDomain, clusters: opened }));
}
