import { systemClock } from '../../../src/base/clock.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { unwrap } from '../../../src/base/result.ts';
import { type KubeApi, openKubeApi } from '../../../src/kube/kube-api.ts';
import { metaOf, objectsAt, textAt } from '../../../src/kube/objects.ts';
import { type KubeWatch, watchKube } from '../../../src/kube/watch.ts';
import { createLogger } from '../../../src/runtime/log.ts';
import { makeCsr } from '../../support/x509.ts';
import { cpuMs } from '../process-figures.ts';
import { type Figures, quantile } from '../report.ts';
import { type BenchCluster, type BenchNode, until } from './cluster.ts';
import { SIGNER_DOMAIN } from './objects.ts';
import type { BenchPod } from './pods.ts';

const REQUESTS = {
  group: 'certificates.k8s.io',
  version: 'v1',
  namespace: 'shop',
  plural: 'podcertificaterequests',
};
const PATH = '/apis/certificates.k8s.io/v1/namespaces/shop/podcertificaterequests';

/** What is asked for one pod, as its kubelet would. */
interface Prepared {
  readonly name: string;
  readonly by: KubeApi;
  readonly body: object;
}

/**
 * PodCertificateRequests of all pods at once, made as their nodes make them: with the server running, and
 * waiting for it when it starts.
 *
 * @param pods Bound to the nodes one after the other.
 */
export async function measureRequests(
  cluster: BenchCluster,
  pods: readonly BenchPod[],
): Promise<Figures> {
  const apis = await Promise.all(cluster.nodes.map((node) => apiOf(cluster, node)));
  const issued = new Map<string, number>();
  const watch = watchIssued(cluster.api, issued);
  await watch.whenSynced();
  const account = await cluster.call({
    verb: 'get',
    path: '/api/v1/namespaces/shop/serviceaccounts/web',
  });
  const prepare = (prefix: string): readonly Prepared[] =>
    pods.map((pod, index) => {
      const node = cluster.nodes[index % cluster.nodes.length];
      const by = apis[index % apis.length];
      if (node === undefined || by === undefined) throw new TypeError('no nodes');
      const name = `${prefix}-${index}`;
      return { name, by, body: requestOf(name, { pod, node, accountUid: metaOf(account).uid }) };
    });
  try {
    const live = await burst(cluster, prepare('live'), issued);
    const waiting = await afterStart(cluster, prepare('waiting'), issued);
    return {
      '1,000 PodCertificateRequests in a burst': live,
      '1,000 that wait when the server starts': waiting,
    };
  } finally {
    await watch.stop();
    for (const api of apis) api.close();
  }
}

async function burst(
  cluster: BenchCluster,
  requests: readonly Prepared[],
  issued: ReadonlyMap<string, number>,
) {
  const { serverPid } = cluster.fleet;
  const before = { server: cpuMs(serverPid), api: cpuMs(cluster.apiServerPid) };
  const beganMs = Date.now();
  const made = await create(requests);
  await until(async () => requests.every(({ name }) => issued.has(name)));
  const samples = requests.map(({ name }, index) => (issued.get(name) ?? 0) - (made[index] ?? 0));
  const doneMs = Math.max(...requests.map(({ name }) => issued.get(name) ?? 0));
  return {
    'per second': (requests.length * 1000) / (doneMs - beganMs),
    'p50 ms': quantile(samples, 0.5),
    'p99 ms': quantile(samples, 0.99),
    'creating took ms': Math.max(...made) - beganMs,
    'after the last was made ms': doneMs - Math.max(...made),
    'CPU ms server': cpuMs(serverPid) - before.server,
    'CPU ms API server': cpuMs(cluster.apiServerPid) - before.api,
  };
}

async function afterStart(
  cluster: BenchCluster,
  requests: readonly Prepared[],
  issued: ReadonlyMap<string, number>,
) {
  await cluster.fleet.stopServer();
  await create(requests);
  const before = cluster.fleet.log('server').length;
  await cluster.startServer();
  const { serverPid } = cluster.fleet;
  const api = cpuMs(cluster.apiServerPid);
  const leadsMs = await cluster.serverSaid(
    /"lease":"signet-pod-certificates","msg":"leads"/,
    before,
  );
  const readyMs = await cluster.serverSaid(/"msg":"rules are in force"/, before);
  await until(async () => requests.every(({ name }) => issued.has(name)));
  const times = requests.map(({ name }) => issued.get(name) ?? 0);
  const beganMs = Math.max(Math.min(leadsMs, ...times), Math.min(readyMs, ...times));
  const tookMs = Math.max(...times) - beganMs;
  return {
    'per second': (requests.length * 1000) / tookMs,
    'took ms': tookMs,
    'CPU ms server': cpuMs(serverPid),
    'CPU ms API server': cpuMs(cluster.apiServerPid) - api,
  };
}

/** Answers when each was acknowledged, in Unix milliseconds. */
function create(requests: readonly Prepared[]): Promise<readonly number[]> {
  return Promise.all(
    requests.map(async ({ by, body }) => {
      unwrap(await by.request({ verb: 'create', path: PATH, body, timeoutMs: 120_000 }));
      return Date.now();
    }),
  );
}

function watchIssued(api: KubeApi, issued: Map<string, number>): KubeWatch<boolean> {
  const watch = watchKube<boolean>({
    api,
    resource: REQUESTS,
    project: (object) =>
      objectsAt(object, 'status', 'conditions').some((one) => textAt(one, 'type') === 'Issued'),
    clock: systemClock,
    random: systemRandom,
    log: createLogger({ level: 'warn' }),
  });
  watch.onChange((change) => {
    if (change.kind !== 'put' || !change.value) return;
    const name = change.key.slice(change.key.indexOf('/') + 1);
    if (!issued.has(name)) issued.set(name, Date.now());
  });
  return watch;
}

async function apiOf({ rig }: BenchCluster, { name }: BenchNode): Promise<KubeApi> {
  const kubeconfigPath = await rig.user(`system:node:${name}`, 'system:nodes');
  return unwrap(await openKubeApi({ kubeconfigPath }, { clock: systemClock }));
}

function requestOf(
  name: string,
  of: { readonly pod: BenchPod; readonly node: BenchNode; readonly accountUid: string },
): object {
  return {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'PodCertificateRequest',
    metadata: { name, namespace: 'shop' },
    spec: {
      signerName: `${SIGNER_DOMAIN}/spiffe`,
      podName: of.pod.name,
      podUID: of.pod.uid,
      nodeName: of.node.name,
      nodeUID: of.node.uid,
      serviceAccountName: 'web',
      serviceAccountUID: of.accountUid,
      maxExpirationSeconds: 3600,
      stubPKCS10Request: Buffer.from(makeCsr()).toString('base64'),
    },
  };
}
