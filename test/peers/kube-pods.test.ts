import assert from 'node:assert/strict';
import { readFileSync, readlinkSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { cgroupReader } from '../../agent/workload/container/cgroup-file.ts';
import { createLocator } from '../../agent/workload/container/locate.ts';
import { createApiServerSource } from '../../agent/workload/k8s/api-server.ts';
import { createK8sAttestor } from '../../agent/workload/k8s/attestor.ts';
import { createKubeletHttpSource } from '../../agent/workload/k8s/kubelet-http.ts';
import { createKubeletSocketSource } from '../../agent/workload/k8s/kubelet-socket.ts';
import { labelsOfNamespaces } from '../../agent/workload/k8s/namespace-labels.ts';
import { type NodePod, podOfJson } from '../../agent/workload/k8s/node-pod.ts';
import { PodIndex } from '../../agent/workload/k8s/pod-index.ts';
import { type PodSource, PodSources } from '../../agent/workload/k8s/pod-sources.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import { lazyKubeObjects } from '../../src/kube/kube-objects.ts';
import { isKubeObject } from '../../src/kube/objects.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { fakeKubelet } from '../support/fake-kubelet.ts';
import { soon } from '../support/processes.ts';
import { processInCgroup, writableCgroupRoot } from '../support/real-cgroup.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import { needsShared, skipNow } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const clock = systemClock;
const log = createLogger({ level: 'silent' });

function podManifest(name: string, node: string, labels: Record<string, string>): string {
  const metadata = { name, namespace: 'default', labels };
  const containers = [{ name: 'main', image: 'registry.example/web:1' }];
  const spec = { nodeName: node, containers, serviceAccountName: 'web' };
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec });
}

/** Pods as one source tells them. */
function follow(context: TestContext, source: PodSource) {
  const index = new PodIndex();
  const pods = new Map<string, NodePod>();
  const sources = new PodSources({
    sources: [
      {
        name: source.name,
        run: (sink, signal) =>
          source.run(
            {
              ...sink,
              demand: sink.demand,
              replace: (all) => {
                pods.clear();
                for (const pod of all) pods.set(pod.uid, pod);
                sink.replace(all);
              },
              put: (pod) => {
                pods.set(pod.uid, pod);
                sink.put(pod);
              },
              remove: (uid) => {
                pods.delete(uid);
                sink.remove(uid);
              },
            },
            signal,
          ),
      },
    ],
    index,
    clock,
    random: systemRandom,
    log,
    onFailure: () => {},
  });
  sources.start();
  context.after(() => sources.stop());
  const named = (name: string) => [...pods.values()].find((pod) => pod.name === name);
  return { index, sources, named };
}

describe('pods of a real cluster', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let kubelet: string;
  before(async () => {
    rig = await startKubeRig();
    kubelet = await rig.node('node-a');
    await rig.kubectl(['create', 'serviceaccount', 'web']);
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-b' } };
    await rig.kubectl(['apply', '-f', '-'], JSON.stringify(node));
    await soon(async () => (await rig.kubectl(['get', 'sa', 'web'])).includes('web'));
  });
  after(() => rig.stop());

  /** The pod as the API server has it. */
  async function stated(name: string): Promise<NodePod> {
    const object: unknown = JSON.parse(await rig.kubectl(['get', 'pod', name, '-o', 'json']));
    const pod = isKubeObject(object) ? podOfJson(object) : undefined;
    assert.ok(pod);
    return pod;
  }

  async function createPod(name: string, node: string): Promise<NodePod> {
    const manifest = podManifest(name, node, { app: name, 'kueue.x-k8s.io/queue-name': 'gpu' });
    await rig.kubectl(['create', '-f', '-'], manifest);
    return stated(name);
  }

  /** Writes what the kubelet of a real runtime would: the id of the container. */
  async function started(name: string, containerId: string): Promise<void> {
    const main = {
      name: 'main',
      image: 'registry.example/web:1',
      imageID: 'registry.example/web@sha256:aa',
      containerID: `containerd://${containerId}`,
      ready: true,
      restartCount: 0,
      state: { running: {} },
    };
    const patch = JSON.stringify({ status: { phase: 'Running', containerStatuses: [main] } });
    await rig.kubectl(['patch', 'pod', name, '--subresource=status', '--type=merge', '-p', patch]);
  }

  function kubeletSocket(node = 'node-a'): PodSource {
    const socketPath = join(rig.dir, `node-${node}`, 'pods-api', 'pods-api.sock');
    return createKubeletSocketSource({ socketPath, clock });
  }

  function apiServer(nodeName: string): PodSource {
    const open = () => openKubeApi({ kubeconfigPath: rig.kubeconfig }, { clock });
    return createApiServerSource({ open, nodeName, clock, random: systemRandom, log });
  }

  /** The kubelet's plain port behind TLS, which the rig's kubelet does not speak. */
  async function kubeletHttp(context: TestContext): Promise<PodSource> {
    const { folder: _, ...place } = await fakeKubelet(context, (incoming, outgoing) => {
      request(`${kubelet}${incoming.url}`, (answer) => answer.pipe(outgoing)).end();
    });
    return createKubeletHttpSource({ ...place, host: '127.0.0.1', serverName: 'node-a', clock });
  }

  const kinds: readonly [string, (context: TestContext) => PodSource | Promise<PodSource>][] = [
    ['socket of the real kubelet', () => kubeletSocket()],
    ['/pods of the real kubelet', (context) => kubeletHttp(context)],
    ['API server', () => apiServer('node-a')],
  ];
  for (const [name, open] of kinds) {
    test(`are those of the node by the ${name}`, async (context) => {
      const pod = `by-${kinds.findIndex(([one]) => one === name)}`;
      await createPod(pod, 'node-a');
      await createPod(`${pod}-elsewhere`, 'node-b');
      await soon(async () => (await stated(pod)).containers.length === 1);
      const { named, index } = follow(context, await open(context));
      // The kubelet names an image that it has pulled anew: what counts is the last state.
      await soon(async () => named(pod)?.containers[0]?.image === 'registry.example/web:1');
      assert.deepEqual(named(pod), await stated(pod));
      assert.equal(named(`${pod}-elsewhere`), undefined);
      const before = index.size;
      await rig.kubectl(['delete', 'pod', pod, `${pod}-elsewhere`, '--force', '--grace-period=0']);
      void index.wait('0'.repeat(64), 60_000, clock);
      await soon(async () => index.size === before - 1);
    });
  }

  test('come from the API server while there is no kubelet, and name a real process', async (context) => {
    const root = writableCgroupRoot();
    if (root === undefined) return skipNow(context, 'cgroups cannot be made here');
    const socketPath = join(rig.dir, 'absent.sock');
    const index = new PodIndex();
    const sources = new PodSources({
      sources: [createKubeletSocketSource({ socketPath, clock }), apiServer('node-b')],
      index,
      clock,
      random: systemRandom,
      log,
      onFailure: () => {},
    });
    sources.start();
    context.after(() => sources.stop());
    const locate = createLocator(cgroupReader());
    const attestor = createK8sAttestor({ locate, index, sources, clock, holdMs: 60_000 });

    const containerId = 'c0ffee00'.repeat(8);
    const { uid } = await createPod('web', 'node-b');
    const path = `kubepods/burstable/pod${uid}/${containerId}`;
    const running = await processInCgroup(root, path);
    context.after(() => running.end());
    const peer = { pid: running.pid, uid: 0, gid: 0, isAlive: () => true };

    const work = attestor.attest(peer);
    await soon(async () => sources.active === 'api-server');
    assert.ok(index.waiting, 'held: the status does not name the container yet');
    await started('web', containerId);
    const selectors = assertValue(await work);
    assert.deepEqual([...selectors].sort(), [
      'k8s:container-image:registry.example/web:1',
      'k8s:container-image:registry.example/web@sha256:aa',
      'k8s:container-name:main',
      'k8s:node-name:node-b',
      'k8s:ns:default',
      'k8s:pod-image-count:1',
      'k8s:pod-image:registry.example/web:1',
      'k8s:pod-image:registry.example/web@sha256:aa',
      'k8s:pod-init-image-count:0',
      'k8s:pod-label:app:web',
      'k8s:pod-label:kueue.x-k8s.io/queue-name:gpu',
      'k8s:pod-name:web',
      `k8s:pod-uid:${uid}`,
      'k8s:sa:web',
    ]);
    assert.ok(attestor.holds(peer, selectors));

    await rig.kubectl(['label', 'pod', 'web', 'app=other', '--overwrite']);
    await soon(async () => !attestor.holds(peer, selectors));

    // A pod of the same name, and even of the same container, is not the one of the process.
    await rig.kubectl(['delete', 'pod', 'web', '--force', '--grace-period=0']);
    await createPod('web', 'node-b');
    await started('web', containerId);
    await soon(async () => {
      const [claim] = index.claims(containerId);
      return claim !== undefined && claim.pod.uid !== uid;
    });
    assertRefused(await attestor.attest(peer), 'AGENT_POD_UNKNOWN');
  });

  test('come from the API server when the kubelet dies, and from the kubelet when it is back', async (context) => {
    const index = new PodIndex();
    const sources = new PodSources({
      sources: [kubeletSocket('node-c'), apiServer('node-c')],
      index,
      clock,
      random: systemRandom,
      log,
      onFailure: () => {},
    });
    await rig.node('node-c');
    await createPod('stays', 'node-c');
    sources.start();
    context.after(() => sources.stop());
    await soon(async () => sources.active === 'kubelet-socket');
    // The rig removes the folder of a kubelet that it ended itself.
    const left = readlinkSync(join(rig.dir, 'node-node-c'));
    context.after(() => rmSync(left, { recursive: true, force: true }));
    process.kill(Number(readFileSync(join(rig.dir, 'pid', 'node-node-c'), 'utf8')), 'SIGKILL');
    await soon(async () => sources.active === 'api-server');
    assert.equal(index.size, 1);
    await rig.node('node-c');
    await soon(async () => sources.active === 'kubelet-socket');
    await soon(async () => index.size === 1);
  });

  test('are in namespaces whose labels are read too', async () => {
    const open = lazyKubeObjects({ kubeconfigPath: rig.kubeconfig }, { clock });
    const labels = labelsOfNamespaces(open, clock);
    assert.equal(
      assertValue(await labels('default')).get('kubernetes.io/metadata.name'),
      'default',
    );
    assertRefused(await labels('absent'), 'KUBE_NOT_FOUND');
    assertRefused(await labels('../pods'), 'KUBE_NAME');
  });

  test('of this process are none, as it is in no pod', async (context) => {
    const text = readFileSync('/proc/self/cgroup', 'utf8');
    if (/kubepods|[0-9a-f]{64}/.test(text)) return skipNow(context, 'the tests run in a container');
    assert.equal(assertValue(createLocator(cgroupReader())(process.pid)), undefined);
  });
});
