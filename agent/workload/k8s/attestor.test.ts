import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import { SignetError } from '../../../src/base/errors.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { containerId, nodePod, podContainer } from '../../../test/support/node-pods.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import type { ContainerPlace } from '../container/locate.ts';
import { createK8sAttestor, STALE_LIMIT_MS } from './attestor.ts';
import { type LabelsOfNamespace, labelsOfNamespaces } from './namespace-labels.ts';
import { PodIndex } from './pod-index.ts';

const PEER = { pid: 42, uid: 1000, gid: 1000, isAlive: () => true };
const POD = nodePod();
const PLACE: ContainerPlace = { owner: 'pod', containerId: containerId('a'), podUid: POD.uid };
const HOLD_MS = 8000;

function rig(
  place: Result<ContainerPlace | undefined> = ok(PLACE),
  namespaceLabels?: LabelsOfNamespace,
) {
  const clock = new ManualClock(0);
  const index = new PodIndex();
  const state = { place, ageMs: 0 as number | undefined };
  const sources = {
    get ageMs() {
      return state.ageMs;
    },
    problem: new SignetError('AGENT_POD_SOURCE', 'the kubelet is away'),
  };
  const attestor = createK8sAttestor({
    locate: () => state.place,
    index,
    sources,
    clock,
    holdMs: HOLD_MS,
    namespaceLabels,
  });
  return { clock, index, state, attestor };
}

describe('the k8s attestor', () => {
  test('gives a process in a pod all selectors of the pod and its container', async () => {
    const { index, attestor } = rig();
    index.put(POD);
    const selectors = assertValue(await attestor.attest(PEER));
    assert.ok(selectors.includes('k8s:ns:shop'));
    assert.ok(selectors.includes('k8s:container-name:main'));
    assert.ok(attestor.holds(PEER, selectors));
  });

  test('adds the labels of the namespace where they are asked for, or refuses', async () => {
    const told = rig(ok(PLACE), async (name) =>
      ok(
        new Map([
          ['tier', name],
          ['empty', ''],
        ]),
      ),
    );
    told.index.put(POD);
    const selectors = assertValue(await told.attestor.attest(PEER));
    assert.ok(selectors.includes('k8s:ns-label:tier:shop'));
    assert.ok(selectors.includes('k8s:ns-label:empty:'));
    const away = rig(ok(PLACE), async () => fail('KUBE_UNREACHABLE', 'planted'));
    away.index.put(POD);
    assertRefused(await away.attestor.attest(PEER), 'KUBE_UNREACHABLE');
    assert.equal(away.attestor.holds(PEER, selectors), false);
  });

  for (const [name, place] of [
    ['no container', undefined],
    [
      'a container of Docker',
      { owner: 'docker', containerId: containerId('a'), podUid: undefined },
    ],
    [
      'a container of Podman',
      { owner: 'podman', containerId: containerId('a'), podUid: undefined },
    ],
  ] as const) {
    test(`gives a process in ${name} no selectors, whatever pods there are`, async () => {
      const { index, attestor } = rig(ok(place));
      index.put(POD);
      assert.deepEqual(assertValue(await attestor.attest(PEER)), []);
      assert.ok(attestor.holds(PEER, []));
    });
  }

  test('goes by the container alone where the cgroup does not name the pod', async () => {
    const { index, attestor } = rig(ok({ ...PLACE, owner: 'unknown', podUid: undefined }));
    index.put(POD);
    assert.ok(assertValue(await attestor.attest(PEER)).includes('k8s:pod-name:web-0'));
  });

  test('knows a static pod by the UID of the kubelet', async () => {
    const { index, attestor } = rig();
    index.put(nodePod({ uid: 'mirror', staticUid: POD.uid }));
    assert.ok(assertValue(await attestor.attest(PEER)).includes('k8s:pod-uid:mirror'));
  });

  test('passes on that the cgroup cannot be placed', async () => {
    const { attestor } = rig(fail('AGENT_CONTAINER_LAYOUT', 'planted'));
    assertRefused(await attestor.attest(PEER), 'AGENT_CONTAINER_LAYOUT');
  });

  test('refuses a pod of another UID, though name and container are the same', async () => {
    const { index, attestor } = rig();
    index.put(nodePod({ uid: '00000000-1111-2222-3333-444444444444' }));
    assertRefused(await attestor.attest(PEER), 'AGENT_POD_UNKNOWN');
  });

  test('refuses a container that two pods claim', async () => {
    const { index, attestor } = rig();
    index.put(POD);
    index.put(nodePod({ uid: 'other' }));
    assertRefused(await attestor.attest(PEER), 'AGENT_POD_UNKNOWN');
  });

  test('holds a process until its container is in the status, and gives all at once', async () => {
    const { index, attestor } = rig();
    const pending = podContainer({ containerId: '', imageId: '' });
    index.put(nodePod({ containers: [pending] }));
    const work = attestor.attest(PEER);
    assert.ok(index.waiting);
    index.put(POD);
    assert.ok(
      assertValue(await work).includes('k8s:container-image:registry.example/web@sha256:aa'),
    );
  });

  test('refuses a process whose container appears in no status, at the end of the hold', async () => {
    const { clock, index, attestor } = rig();
    index.put(nodePod({ containers: [podContainer({ containerId: '' })] }));
    const work = attestor.attest(PEER);
    clock.advance(HOLD_MS - 1);
    assert.ok(index.waiting);
    clock.advance(1);
    assertRefused(await work, 'AGENT_POD_UNKNOWN');
    assert.ok(!index.waiting);
  });

  test('says that no source of pods works where that is why', async () => {
    const { clock, attestor, state } = rig();
    state.ageMs = undefined;
    const work = attestor.attest(PEER);
    clock.advance(HOLD_MS);
    assertRefused(await work, 'AGENT_POD_SOURCE');
  });

  for (const [ageMs, code] of [
    [STALE_LIMIT_MS - 1, undefined],
    [STALE_LIMIT_MS, undefined],
    [STALE_LIMIT_MS + 1, 'AGENT_POD_SOURCE'],
  ] as const) {
    test(`${code === undefined ? 'believes' : 'does not believe'} pods that are ${ageMs} ms old`, async () => {
      const { index, attestor, state } = rig();
      index.put(POD);
      state.ageMs = ageMs;
      const answer = await attestor.attest(PEER);
      if (code === undefined) assertValue(answer);
      else assertRefused(answer, code);
    });
  }

  test('what it said does not hold before it was said', () => {
    assert.equal(rig().attestor.holds(PEER, []), false);
  });

  const changes: readonly [string, (at: ReturnType<typeof rig>) => void][] = [
    ['its pod is deleted', ({ index }) => index.remove(POD.uid)],
    ['a label of its pod changes', ({ index }) => index.put(nodePod({ labels: [] }))],
    ['another pod claims its container', ({ index }) => index.put(nodePod({ uid: 'other' }))],
    [
      'it is in another container',
      ({ state }) => {
        state.place = ok({ ...PLACE, containerId: containerId('b') });
      },
    ],
    [
      'it is in no container',
      ({ state }) => {
        state.place = ok(undefined);
      },
    ],
    [
      'its cgroup cannot be read',
      ({ state }) => {
        state.place = fail('AGENT_PROCESS_UNREADABLE', 'planted');
      },
    ],
  ];
  for (const [name, change] of changes) {
    test(`what it said no longer holds when ${name}`, async () => {
      const at = rig();
      at.index.put(POD);
      const selectors = assertValue(await at.attestor.attest(PEER));
      assert.ok(at.attestor.holds(PEER, selectors));
      change(at);
      assert.equal(at.attestor.holds(PEER, selectors), false);
    });
  }

  test('a process that goes into a pod later is not one outside any more', async () => {
    const { state, attestor } = rig(ok(undefined));
    assert.deepEqual(assertValue(await attestor.attest(PEER)), []);
    state.place = ok(PLACE);
    assert.equal(attestor.holds(PEER, []), false);
  });

  test('what it said holds on while the last source is away', async () => {
    const { index, attestor, state } = rig();
    index.put(POD);
    const selectors = assertValue(await attestor.attest(PEER));
    state.ageMs = STALE_LIMIT_MS * 10;
    assert.ok(attestor.holds(PEER, selectors));
  });
});

test('labels of a namespace are read once for pods that start together, and again later', async () => {
  const clock = new ManualClock(0);
  const asked: string[] = [];
  let answer: Result<Record<string, unknown>> = fail('KUBE_UNREACHABLE', 'planted');
  const unused = async () => fail('KUBE_FORBIDDEN', 'planted');
  const objects = {
    create: unused,
    replace: unused,
    remove: unused,
    read: async ({ plural, name }: { plural: string; name: string }) => {
      asked.push(`${plural}/${name}`);
      return answer;
    },
  };
  const labels = labelsOfNamespaces(async () => ok(objects), clock);
  assertRefused(await labels('shop'), 'KUBE_UNREACHABLE');
  answer = ok({ metadata: { labels: { tier: 'gold' } } });
  const both = await Promise.all([labels('shop'), labels('shop')]);
  assert.deepEqual(
    both.map((one) => assertValue(one).get('tier')),
    ['gold', 'gold'],
  );
  assert.deepEqual(asked, ['namespaces/shop', 'namespaces/shop']);
  clock.advance(10_000);
  assertValue(await labels('shop'));
  assert.equal(asked.length, 3);
  assertRefused(
    await labelsOfNamespaces(async () => fail('KUBE_CONFIG', 'planted'), clock)('shop'),
    'KUBE_CONFIG',
  );
});
