import { fail } from '../../../src/base/result.ts';
import { openKubeApi } from '../../../src/kube/kube-api.ts';
import { lazyKubeObjects } from '../../../src/kube/kube-objects.ts';
import type { AgentBase } from '../../agent.ts';
import type { WorkloadAttestor } from '../attestor.ts';
import type { LocateContainer } from '../container/locate.ts';
import type { K8sSettings } from '../settings.ts';
import { createApiServerSource } from './api-server.ts';
import { createK8sAttestor } from './attestor.ts';
import { createKubeletHttpSource } from './kubelet-http.ts';
import { createKubeletSocketSource } from './kubelet-socket.ts';
import { labelsOfNamespaces } from './namespace-labels.ts';
import { PodIndex } from './pod-index.ts';
import { type PodSource, type PodSourceName, PodSources } from './pod-sources.ts';

/** What of the agent the attestor needs. */
export type K8sBase = Pick<AgentBase, 'clock' | 'random' | 'log' | 'metrics' | 'life'>;

/** Opens the `k8s` attestor as it is configured, and begins to read pods; the agent's end stops that. */
export function openK8sAttestor(
  base: K8sBase,
  settings: K8sSettings,
  locate: LocateContainer,
): WorkloadAttestor {
  const { clock, random, log, metrics, life } = base;
  const index = new PodIndex();
  const failures = metrics.counter(
    'pod_source_failures_total',
    'Times that a source of pods could not be read.',
    ['source'],
  );
  const names = [...new Set(settings.sources)];
  const sources = new PodSources({
    sources: names.map((name) => sourceOf(name, base, settings)),
    index,
    clock,
    random,
    log,
    onFailure: (source) => failures.inc({ source }),
  });
  metrics.kept('gauge', 'pod_source', '1 for the source of pods in use.', ['source'], () =>
    names.map((source) => [{ source }, sources.active === source ? 1 : 0] as const),
  );
  metrics.reading('pods', 'Pods of this node that are known.', () => index.size);
  metrics.reading('pods_age_seconds', 'Time since changes of pods were last heard of.', () =>
    sources.ageMs === undefined ? undefined : sources.ageMs / 1000,
  );
  sources.start();
  life.add('pods', () => sources.stop());
  const namespaceLabels = settings.namespaceLabels
    ? labelsOfNamespaces(lazyKubeObjects(settings.apiServer, { clock }), clock)
    : undefined;
  const holdMs = settings.hold * 1000;
  return createK8sAttestor({ locate, index, sources, clock, holdMs, namespaceLabels });
}

function sourceOf(name: PodSourceName, base: K8sBase, settings: K8sSettings): PodSource {
  const { clock, random, log } = base;
  if (name === 'kubelet-socket') {
    return createKubeletSocketSource({ socketPath: settings.kubeletSocket, clock });
  }
  const { nodeName = process.env.MY_NODE_NAME } = settings;
  if (nodeName === undefined || nodeName === '') return unnamed(name);
  if (name === 'kubelet') {
    const { host = nodeName, serverName = nodeName, ...rest } = settings.kubelet;
    return createKubeletHttpSource({ ...rest, host, serverName, clock });
  }
  const open = () => openKubeApi(settings.apiServer, { clock });
  return createApiServerSource({ open, nodeName, clock, random, log });
}

/** A source that would ask for the pods of a node that nobody named. */
function unnamed(name: PodSourceName): PodSource {
  const { error } = fail(
    'AGENT_POD_SOURCE',
    'neither workloadAttestors.k8s.nodeName nor the variable MY_NODE_NAME is set',
  );
  return { name, run: async () => error };
}
