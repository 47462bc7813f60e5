import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupDraft } from '../../../test/support/connector-state.ts';
import { PSAT_NODE, PSAT_POD, psatReview } from '../../../test/support/k8s-psat.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { id } from '../../../test/support/state.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KubeApi, KubeRequest } from '../../kube/kube-api.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { MAX_TOKEN_BYTES } from '../../kube/token-review.ts';
import type { ConnectorAccount } from '../../rules/connector/group.ts';
import { createPodFinder, type ShownPod, type ShownToken } from './pods.ts';

const AUDIENCE = 'signet-connectors';
const POD = '/api/v1/namespaces/spire/pods/agent-x';
const NODE = '/api/v1/nodes/node-a';
const HERE: ConnectorAccount = { cluster: 'east', namespace: 'spire', name: 'spire-agent' };
const NOW = { deletionTimestamp: '2026-01-01T00:00:00Z' };

type Answer = (request: KubeRequest) => Result<KubeObject> | undefined;

/** An API server in memory, with the pod, its node, and a token for it. */
class MemoryKube {
  readonly calls: KubeRequest[] = [];
  readonly objects = new Map<string, KubeObject>([
    [POD, PSAT_POD],
    [NODE, PSAT_NODE],
  ]);
  status: object = { ...psatReview(), audiences: [AUDIENCE] };
  answer: Answer = () => undefined;
  wait: Promise<void> | undefined;

  readonly api: KubeApi = {
    name: 'test',
    serverAheadMs: undefined,
    request: async (request) => {
      this.calls.push(request);
      await this.wait;
      const answered = this.answer(request);
      if (answered !== undefined) return answered;
      if (request.path.endsWith('/tokenreviews')) return ok({ status: this.status });
      const object = this.objects.get(request.path);
      return object === undefined ? fail('KUBE_NOT_FOUND', 'gone') : ok(object);
    },
    stream: async () => fail('KUBE_UNREACHABLE', 'no watches here'),
    close: () => {},
  };
}

function rig(names: readonly string[] = ['east', 'west'], maxReviews = 4) {
  const kubes = new Map(names.map((name) => [name, new MemoryKube()]));
  const [east = assert.fail()] = kubes.values();
  const finder = createPodFinder({
    clusters: [...kubes].map(([name, { api }]) => ({
      name,
      api,
      agentOf: () => ok(id(`/spire/agent/k8s_psat/${name}/node-uid`)),
    })),
    audiences: [AUDIENCE],
    maxReviews,
  });
  const find = (
    shown: Partial<Omit<ShownToken, 'group'>> = {},
    serviceAccounts: readonly ConnectorAccount[] = [HERE],
  ): Promise<Result<ShownPod>> => {
    const group = { ...groupDraft('edge', { serviceAccounts }), revision: 1n };
    const usual = { token: 'a.b.c', cluster: 'east', group, mustBeListed: true };
    return finder.find({ ...usual, ...shown }, new AbortController().signal);
  };
  return { kubes, east, find };
}

const withExtra = (extra: Readonly<Record<string, readonly string[]>>) => (kube: MemoryKube) => {
  kube.status = { ...psatReview(extra), audiences: [AUDIENCE] };
};
const withStatus = (status: object) => (kube: MemoryKube) => {
  kube.status = { ...kube.status, ...status };
};
const withUser = (username: string) => (kube: MemoryKube) => {
  const extra = Object.entries(psatReview()).find(([key]) => key === 'user')?.[1];
  kube.status = { ...kube.status, user: { ...extra, username } };
};
const withPod = (change: object) => (kube: MemoryKube) => {
  kube.objects.set(POD, { ...PSAT_POD, ...change });
};
const withNode = (metadata: object) => (kube: MemoryKube) => {
  kube.objects.set(NODE, { metadata: { ...PSAT_NODE.metadata, ...metadata } });
};

describe('the pod of a token', () => {
  const rows: readonly (readonly [string, (kube: MemoryKube) => unknown, ErrorCode | undefined])[] =
    [
      ['that stands', () => {}, undefined],
      ['not authenticated', withStatus({ authenticated: false }), 'CONNECTOR_TOKEN'],
      ['not quite authenticated', withStatus({ authenticated: 'true' }), 'CONNECTOR_TOKEN'],
      ['for no audience', withStatus({ audiences: [] }), 'CONNECTOR_TOKEN'],
      ['by a server without audiences', withStatus({ audiences: undefined }), 'CONNECTOR_TOKEN'],
      ['for another audience', withStatus({ audiences: ['signet-connector'] }), 'CONNECTOR_TOKEN'],
      ['for ours among others', withStatus({ audiences: ['api', AUDIENCE] }), undefined],
      ['of a user', withUser('alice'), 'CONNECTOR_CLAIMANT_DENIED'],
      ['of nobody', withUser(''), 'CONNECTOR_CLAIMANT_DENIED'],
      [
        'of another account',
        withUser('system:serviceaccount:spire:spire-agent2'),
        'CONNECTOR_CLAIMANT_DENIED',
      ],
      [
        'of another namespace',
        withUser('system:serviceaccount:spire2:spire-agent'),
        'CONNECTOR_CLAIMANT_DENIED',
      ],
      ['of half an account', withUser('system:serviceaccount:spire'), 'CONNECTOR_CLAIMANT_DENIED'],
      [
        'of more than an account',
        withUser('system:serviceaccount:spire:spire-agent:x'),
        'CONNECTOR_CLAIMANT_DENIED',
      ],
      [
        'of what ends like an account',
        withUser('x:system:serviceaccount:spire:spire-agent'),
        'CONNECTOR_CLAIMANT_DENIED',
      ],
      ['without a pod', withExtra({ 'pod-name': [] }), 'CONNECTOR_TOKEN_UNBOUND'],
      ['with two pods', withExtra({ 'pod-name': ['agent-x', 'b'] }), 'CONNECTOR_TOKEN_UNBOUND'],
      ['without a UID', withExtra({ 'pod-uid': [''] }), 'CONNECTOR_TOKEN_UNBOUND'],
      [
        'with two UIDs',
        withExtra({ 'pod-uid': ['pod-uid', 'pod-uid'] }),
        'CONNECTOR_TOKEN_UNBOUND',
      ],
      ['without a node', withExtra({ 'node-name': [] }), 'CONNECTOR_TOKEN_UNBOUND'],
      ['without the UID of its node', withExtra({ 'node-uid': [] }), undefined],
      ['with another node of that name', withExtra({ 'node-uid': ['n2'] }), 'CONNECTOR_POD'],
      ['of another UID', withExtra({ 'pod-uid': ['pod-uid2'] }), 'CONNECTOR_POD'],
      ['on another node', withExtra({ 'node-name': ['node-b'] }), 'CONNECTOR_POD'],
      ['of a name that leads elsewhere', withExtra({ 'pod-name': ['../x'] }), 'CONNECTOR_POD'],
      ['that is gone', (kube) => kube.objects.delete(POD), 'CONNECTOR_POD'],
      ['made anew', withPod({ metadata: { ...PSAT_POD.metadata, uid: 'new' } }), 'CONNECTOR_POD'],
      ['without a UID now', withPod({ metadata: { name: 'agent-x' } }), 'CONNECTOR_POD'],
      [
        'of another account now',
        withPod({ spec: { ...PSAT_POD.spec, serviceAccountName: 'other' } }),
        'CONNECTOR_POD',
      ],
      [
        'on another node now',
        withPod({ spec: { ...PSAT_POD.spec, nodeName: 'node-b' } }),
        'CONNECTOR_POD',
      ],
      [
        'not on a node yet',
        withPod({ spec: { serviceAccountName: 'spire-agent' } }),
        'CONNECTOR_POD',
      ],
      ['not started yet', withPod({ status: { phase: 'Pending' } }), undefined],
      ['that has succeeded', withPod({ status: { phase: 'Succeeded' } }), 'CONNECTOR_POD'],
      ['that has failed', withPod({ status: { phase: 'Failed' } }), 'CONNECTOR_POD'],
      ['that ends', withPod({ metadata: { ...PSAT_POD.metadata, ...NOW } }), 'CONNECTOR_POD'],
      ['whose node is gone', (kube) => kube.objects.delete(NODE), 'CONNECTOR_POD'],
      ['whose node was made anew', withNode({ uid: 'new' }), 'CONNECTOR_POD'],
      ['whose node has no UID', withNode({ uid: '' }), 'CONNECTOR_POD'],
      [
        'whose node has no UID, nor has the token',
        (kube) => {
          withNode({ uid: '' })(kube);
          withExtra({ 'node-uid': [] })(kube);
        },
        'CONNECTOR_POD',
      ],
      ['whose node ends', withNode(NOW), 'CONNECTOR_POD'],
      ...['/tokenreviews', POD, NODE].map(
        (end) =>
          [
            `while ${end} cannot be asked`,
            (kube: MemoryKube) => {
              kube.answer = ({ path }) =>
                path.endsWith(end) ? fail('KUBE_UNREACHABLE', 'away') : undefined;
            },
            'CONNECTOR_KUBE_API',
          ] as const,
      ),
    ];
  for (const [name, change, code] of rows) {
    test(`${name}: ${code ?? 'will do'}`, async () => {
      const { east, kubes, find } = rig();
      change(east);
      const found = await find();
      if (code !== undefined) return assertRefused(found, code);
      const { cluster, podUid, agentId } = assertValue(found);
      const agent = '/spire/agent/k8s_psat/east/node-uid';
      assert.deepEqual([cluster, podUid, agentId?.path], ['east', 'pod-uid', agent]);
      assert.equal(kubes.get('west')?.calls.length, 0, 'shown to no other cluster');
    });
  }

  test('says what it is, with the number of its token', async () => {
    const { east, find } = rig();
    assert.deepEqual(
      { ...assertValue(await find()), agentId: undefined },
      {
        cluster: 'east',
        namespace: 'spire',
        serviceAccount: 'spire-agent',
        podName: 'agent-x',
        podUid: 'pod-uid',
        nodeName: 'node-a',
        agentId: undefined,
        credentialId: 'JTI=1',
      },
    );
    const [review] = east.calls;
    assert.deepEqual(review?.body, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: 'a.b.c', audiences: [AUDIENCE] },
    });
  });

  for (const [name, token, isAsked] of [
    ['none', '', false],
    ['with a space', 'a b', false],
    ['with a line end', 'a\n', false],
    ['beyond ASCII', 'a\u00e9', false],
    ['as long as may be', 'a'.repeat(MAX_TOKEN_BYTES), true],
    ['longer', 'a'.repeat(MAX_TOKEN_BYTES + 1), false],
  ] as const) {
    test(`of a text ${name}: ${isAsked ? 'asked for' : 'not even asked for'}`, async () => {
      const { east, find } = rig();
      const found = await find({ token });
      if (isAsked) assertValue(found);
      else assertRefused(found, 'CONNECTOR_TOKEN');
      assert.equal(east.calls.length > 0, isAsked);
    });
  }

  test('is not asked for where no audience is expected: tokens for the cluster would do', async () => {
    const { api, calls } = new MemoryKube();
    const clusters = [{ name: 'east', api, agentOf: () => ok(id('/spire/agent/a')) }];
    const finder = createPodFinder({ clusters, audiences: [], maxReviews: 1 });
    const group = { ...groupDraft('edge'), revision: 1n };
    const shown = { token: 'a', cluster: 'east', group, mustBeListed: false };
    assertRefused(await finder.find(shown, new AbortController().signal), 'CONNECTOR_TOKEN');
    assert.equal(calls.length, 0);
  });

  test('whose account the group does not list will do where another proof is shown beside it', async () => {
    const { find } = rig();
    for (const accounts of [[], [{ ...HERE, name: 'other' }]]) {
      assertRefused(await find({}, accounts), 'CONNECTOR_CLAIMANT_DENIED');
      assertValue(await find({ mustBeListed: false }, accounts));
    }
    const user = rig();
    withUser('alice')(user.east);
    assertRefused(await user.find({ mustBeListed: false }), 'CONNECTOR_TOKEN_UNBOUND');
  });
});

describe('the cluster that a token is shown to', () => {
  const at = (cluster: string): ConnectorAccount => ({ ...HERE, cluster });
  const rows: readonly [string, readonly ConnectorAccount[], string, string | ErrorCode][] = [
    ['east', [at('east')], 'as it says', 'east'],
    ['west', [at('')], 'as it says, where the group leaves it open', 'west'],
    ['west', [at('east'), at('west')], 'as it says, of two', 'west'],
    ['west', [at('east')], 'of an account of another one', 'CONNECTOR_CLAIMANT_DENIED'],
    ['north', [at('north')], 'that is none here', 'CONNECTOR_CLUSTER'],
    ['East', [at('east')], 'in other letters', 'CONNECTOR_CLUSTER'],
    ['', [at('west')], 'the only one of the group', 'west'],
    ['', [at('west'), { ...at('west'), name: 'b' }], 'the only one of two accounts', 'west'],
    ['', [at('west'), at('north')], 'the only one that is here', 'west'],
    ['', [at('east'), at('west')], 'one of two', 'CONNECTOR_CLUSTER'],
    ['', [at('')], 'any', 'CONNECTOR_CLUSTER'],
    ['', [at('east'), at('')], 'any, one of them by name', 'CONNECTOR_CLUSTER'],
    ['', [at('north')], 'none of ours', 'CONNECTOR_CLUSTER'],
  ];
  for (const [cluster, accounts, name, expected] of rows) {
    test(`${name}: ${expected}`, async () => {
      const { kubes, find } = rig();
      const found = await find({ cluster }, accounts);
      const isFound = kubes.has(expected);
      if (isFound) assert.equal(assertValue(found).cluster, expected);
      // What is no cluster here is a code of the table.
      else assertRefused(found, expected as ErrorCode);
      const asked = [...kubes].flatMap(([one, { calls }]) => (calls.length > 0 ? [one] : []));
      if (expected !== 'CONNECTOR_CLAIMANT_DENIED')
        assert.deepEqual(asked, isFound ? [expected] : []);
    });
  }

  test('is the only one that there is, where neither says which', async () => {
    for (const accounts of [[], [at('')], [at('east')]]) {
      const { find } = rig(['east']);
      assertValue(await find({ cluster: '', mustBeListed: false }, accounts));
    }
    const none = createPodFinder({ clusters: [], audiences: [AUDIENCE], maxReviews: 1 });
    const group = { ...groupDraft('edge'), revision: 1n };
    const shown = { token: 'a', cluster: '', group, mustBeListed: false };
    assertRefused(await none.find(shown, new AbortController().signal), 'CONNECTOR_CLUSTER');
  });
});

test('as many tokens are under review as may be, and each one that ends makes room', async () => {
  const { east, find } = rig(['east'], 2);
  const held = Promise.withResolvers<void>();
  east.wait = held.promise;
  const waiting = [find(), find()];
  assertRefused(await find(), 'CONNECTOR_BUSY');
  held.resolve();
  for (const found of await Promise.all(waiting)) assertValue(found);
  east.answer = () => fail('KUBE_UNREACHABLE', 'away');
  for (let turn = 0; turn < 3; turn++) assertRefused(await find(), 'CONNECTOR_KUBE_API');
  east.answer = () => assert.fail('broken');
  for (let turn = 0; turn < 3; turn++) await assert.rejects(find());
  east.answer = () => undefined;
  assertValue(await find());
});
