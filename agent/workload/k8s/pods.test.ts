import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { ManualClock } from '../../../src/base/clock.ts';
import { Pod } from '../../../src/gen/kubelet/pod.ts';
import { isKubeObject, objectsAt } from '../../../src/kube/objects.ts';
import { containerId, nodePod, podContainer, podJson } from '../../../test/support/node-pods.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { needsShared, sharedDir } from '../../../test/support/shared.ts';
import { type NodePod, podOfBytes, podOfJson } from './node-pod.ts';
import { PodIndex } from './pod-index.ts';
import { podSelectors } from './selectors.ts';

/** The pod as the kubelet's API writes it. */
function podBytes(pod: NodePod): Uint8Array {
  const status = (one: (typeof pod.containers)[number]) => ({
    ...one,
    containerId: one.containerId === '' ? '' : `cri-o://${one.containerId}`,
  });
  return Pod.encode({
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      uid: pod.uid,
      labels: Object.fromEntries(pod.labels),
      annotations: {},
      ownerReferences: [...pod.owners],
    },
    spec: { serviceAccountName: pod.serviceAccount, nodeName: pod.nodeName },
    status: {
      containerStatuses: pod.containers.map(status),
      initContainerStatuses: pod.initContainers.map(status),
    },
  }).finish();
}

const FULL = nodePod({
  labels: [
    ['app', 'web'],
    ['kueue.x-k8s.io/queue-name', 'gpu'],
    ['team', ''],
  ],
  owners: [{ kind: 'ReplicaSet', name: 'web', uid: '349d135e-3781-43e3-bc25-c900aedf1d0c' }],
  containers: [
    podContainer(),
    podContainer({ name: 'side', image: 'proxy:3', imageId: '', containerId: '' }),
  ],
  initContainers: [
    podContainer({
      name: 'init',
      image: 'init:1',
      imageId: 'init@sha256:bb',
      containerId: containerId('b'),
    }),
  ],
});

describe('a pod of the node', () => {
  test('is the same whether it came as JSON or as protobuf', () => {
    assert.deepEqual(podOfJson(podJson(FULL)), FULL);
    assert.deepEqual(assertValue(podOfBytes(podBytes(FULL))), FULL);
  });

  test('that is static is known by the UID of the kubelet too', () => {
    const json = podJson(FULL);
    const metadata = {
      ...(json.metadata as object),
      annotations: { 'kubernetes.io/config.mirror': 'ab' },
    };
    assert.equal(podOfJson({ ...json, metadata })?.staticUid, 'ab');
  });

  test('without a UID is none', () => {
    assert.equal(podOfJson({}), undefined);
    assertRefused(podOfBytes(new Uint8Array()), 'AGENT_POD_SOURCE');
    assertRefused(podOfBytes(Uint8Array.of(0xff)), 'AGENT_POD_SOURCE');
  });

  for (const id of [
    '',
    'containerd://',
    containerId('a'),
    `containerd://${'a'.repeat(63)}`,
    `x://${'a'.repeat(65)}`,
  ]) {
    test(`has no container with the id ${JSON.stringify(id.slice(0, 20))}… (${id.length})`, () => {
      const json = { metadata: { uid: 'u' }, status: { containerStatuses: [{ containerID: id }] } };
      assert.equal(podOfJson(json)?.containers[0]?.containerId, '');
    });
  }

  test('of any bytes is an answer, never an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        podOfBytes(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        podOfJson({ ...value, metadata: { uid: 'u', ...value } });
      }),
    );
  });
});

test("selectors are SPIRE's, all of the pod and of the one container", () => {
  const [main] = FULL.containers;
  assert.ok(main);
  assert.deepEqual([...podSelectors(FULL, main)].sort(), [
    'k8s:container-image:registry.example/web:1.2',
    'k8s:container-image:registry.example/web@sha256:aa',
    'k8s:container-name:main',
    'k8s:node-name:node-a',
    'k8s:ns:shop',
    'k8s:pod-image-count:2',
    'k8s:pod-image:proxy:3',
    'k8s:pod-image:registry.example/web:1.2',
    'k8s:pod-image:registry.example/web@sha256:aa',
    'k8s:pod-init-image-count:1',
    'k8s:pod-init-image:init:1',
    'k8s:pod-init-image:init@sha256:bb',
    'k8s:pod-label:app:web',
    'k8s:pod-label:kueue.x-k8s.io/queue-name:gpu',
    'k8s:pod-label:team:',
    'k8s:pod-name:web-0',
    'k8s:pod-owner-uid:ReplicaSet:349d135e-3781-43e3-bc25-c900aedf1d0c',
    'k8s:pod-owner:ReplicaSet:web',
    'k8s:pod-uid:2c48913c-b29f-11e7-9350-020968147796',
    'k8s:sa:web',
  ]);
});

describe('the index of pods', () => {
  test('finds by container, also of init containers, and forgets with the pod', () => {
    const index = new PodIndex();
    index.put(FULL);
    assert.equal(index.claims(containerId('a'))[0]?.container.name, 'main');
    assert.equal(index.claims(containerId('b'))[0]?.container.name, 'init');
    assert.deepEqual(index.claims(''), []);
    index.remove(FULL.uid);
    index.remove(FULL.uid);
    assert.deepEqual(index.claims(containerId('a')), []);
    assert.equal(index.size, 0);
  });

  test('keeps the very pod that is put again, and not one that changed', () => {
    const index = new PodIndex();
    index.put(nodePod());
    const [before] = index.claims(containerId('a'));
    index.replace([nodePod()]);
    assert.equal(index.claims(containerId('a'))[0]?.pod, before?.pod);
    index.put(nodePod({ labels: [['app', 'other']] }));
    assert.notEqual(index.claims(containerId('a'))[0]?.pod, before?.pod);
  });

  test('takes out what is not in a replacement', () => {
    const index = new PodIndex();
    index.put(nodePod());
    const other = nodePod({
      uid: 'other',
      containers: [podContainer({ containerId: containerId('c') })],
    });
    index.replace([other]);
    assert.deepEqual(index.claims(containerId('a')), []);
    assert.equal(index.claims(containerId('c')).length, 1);
  });

  test('tells of a container that two pods claim, until one lets go', () => {
    const index = new PodIndex();
    index.put(nodePod());
    index.put(nodePod({ uid: 'other' }));
    assert.equal(index.claims(containerId('a')).length, 2);
    index.remove('other');
    assert.equal(index.claims(containerId('a')).length, 1);
  });

  test('wakes who waits for a container, all of them, and nobody else', async () => {
    const index = new PodIndex();
    const clock = new ManualClock(0);
    let asked = 0;
    const release = index.onWaiting(() => {
      asked += 1;
    });
    const two = [1, 2].map(() => index.wait(containerId('a'), 8000, clock));
    const late = index.wait(containerId('c'), 8000, clock);
    assert.equal(asked, 3);
    index.put(nodePod());
    await Promise.all(two);
    assert.equal(index.waiting, true);
    clock.advance(8000);
    await late;
    assert.equal(index.waiting, false);
    release();
    await index.wait(containerId('a'), 8000, clock);
    assert.equal(asked, 3);
  });

  test('is the same after any changes as one that was told the last state at once', () => {
    const uid = fc.constantFrom('p', 'q', 'r');
    const step = fc.record({ uid, digit: fc.constantFrom('a', 'b', 'c'), remove: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const index = new PodIndex();
        const last = new Map<string, NodePod>();
        for (const { uid: one, digit, remove } of steps) {
          const pod = nodePod({
            uid: one,
            containers: [podContainer({ containerId: containerId(digit) })],
          });
          if (remove) index.remove(one);
          else index.put(pod);
          if (remove) last.delete(one);
          else last.set(one, pod);
        }
        for (const digit of ['a', 'b', 'c']) {
          const claims = index.claims(containerId(digit)).map(({ pod }) => pod.uid);
          const expected = [...last.values()]
            .filter((pod) => pod.containers[0]?.containerId === containerId(digit))
            .map((pod) => pod.uid);
          assert.ok(isDeepStrictEqual([...claims].sort(), expected.sort()));
        }
      }),
    );
  });
});

describe("SPIRE's pod lists", needsShared('vectors/cgroup'), () => {
  const CRIO = '09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6';
  const read = (name: string): PodIndex => {
    const list: unknown = JSON.parse(
      readFileSync(join(sharedDir, 'vectors/cgroup/k8s', name), 'utf8'),
    );
    assert.ok(isKubeObject(list));
    const index = new PodIndex();
    index.replace(objectsAt(list, 'items').flatMap((item) => podOfJson(item) ?? []));
    return index;
  };

  test('of a node with Docker', () => {
    const index = read('pod_list.json');
    const [claim] = index.claims(
      '9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961',
    );
    assert.ok(claim);
    const selectors = podSelectors(claim.pod, claim.container);
    assert.deepEqual([...selectors].sort(), [...SPIRE_SELECTORS].sort());
  });

  test('of a pod whose container has no id yet name nothing', () => {
    const index = read('pod_list_not_running.json');
    assert.deepEqual(
      index.claims('9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961'),
      [],
    );
  });

  test('that name one container in two pods contradict themselves', () => {
    assert.equal(read('crio_pod_list.json').claims(CRIO).length, 1);
    assert.equal(read('crio_pod_list_duplicate_containerId.json').claims(CRIO).length, 2);
  });
});

/** What stock SPIRE 1.15.3 answers for that container of `pod_list.json`. */
const SPIRE_SELECTORS: readonly string[] = [
  'k8s:container-image:docker-pullable://localhost/spiffe/blog@sha256:0cfdaced91cb46dd7af48309799a3c351e4ca2d5e1ee9737ca0cbd932cb79898',
  'k8s:container-image:localhost/spiffe/blog:latest',
  'k8s:container-name:blog',
  'k8s:node-name:k8s-node-1',
  'k8s:ns:default',
  'k8s:pod-image-count:2',
  'k8s:pod-image:docker-pullable://localhost/spiffe/blog@sha256:0cfdaced91cb46dd7af48309799a3c351e4ca2d5e1ee9737ca0cbd932cb79898',
  'k8s:pod-image:docker-pullable://localhost/spiffe/ghostunnel@sha256:b2fc20676c92a433b9a91f3f4535faddec0c2c3613849ac12f02c1d5cfcd4c3a',
  'k8s:pod-image:localhost/spiffe/blog:latest',
  'k8s:pod-image:localhost/spiffe/ghostunnel:latest',
  'k8s:pod-init-image-count:0',
  'k8s:pod-label:k8s-app:blog',
  'k8s:pod-label:version:v0',
  'k8s:pod-name:blog-24ck7',
  'k8s:pod-owner-uid:ReplicationController:2c401175-b29f-11e7-9350-020968147796',
  'k8s:pod-owner:ReplicationController:blog',
  'k8s:pod-uid:2c48913c-b29f-11e7-9350-020968147796',
  'k8s:sa:default',
];
