import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { createK8sPsatAttestor as createAgentHalf } from '../../../agent/attestation/k8s_psat/agent.ts';
import { AGENT_TEST_DOMAIN } from '../../../test/support/agent-ca.ts';
import { runAttestation } from '../../../test/support/attestor-suite.ts';
import type { KubeFault } from '../../../test/support/fake-kube.ts';
import {
  PSAT_NODE,
  PSAT_POD,
  PSAT_TOKEN,
  type PsatRig,
  psatReview,
  psatRig,
} from '../../../test/support/k8s-psat.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { encodeK8sPsatPayload, MAX_K8S_PSAT_BYTES } from './payload.ts';
import { createK8sPsatAttestor } from './server.ts';

const PODS = '/api/v1/pods';
const NODES = '/api/v1/nodes';
const ACCOUNT: ErrorCode = 'K8S_PSAT_SERVICE_ACCOUNT';

describe('k8s_psat', () => {
  test("names the agent by cluster and node, with SPIRE's selectors", async (context) => {
    const rig = await psatRig(context);
    const node = assertValue((await runAttestation(rig)).result);
    assert.equal(node.agentId.path, '/spire/agent/k8s_psat/east/node-uid');
    assert.deepEqual(
      node.selectors.map(({ text }) => text),
      [
        'k8s_psat:cluster:east',
        'k8s_psat:agent_ns:spire',
        'k8s_psat:agent_sa:spire-agent',
        'k8s_psat:agent_pod_name:agent-x',
        'k8s_psat:agent_pod_uid:pod-uid',
        'k8s_psat:agent_node_ip:10.0.0.7',
        'k8s_psat:agent_node_name:node-a',
        'k8s_psat:agent_node_uid:node-uid',
        'k8s_psat:agent_node_label:zone:z1',
        'k8s_psat:agent_node_label:rack:',
        'k8s_psat:agent_pod_label:app:agent',
      ],
    );
    assert.deepEqual([node.canReattest, node.assurance.binding], [true, 'bearer']);
    assert.deepEqual(node.auditFacts, { podUid: 'pod-uid', credentialId: 'JTI=1' });
  });

  test('attests again with the same token', async (context) => {
    const rig = await psatRig(context);
    assertValue((await runAttestation(rig)).result);
    assertValue((await runAttestation(rig)).result);
  });

  test('asks for the audience of the server', async (context) => {
    const rig = await psatRig(context, { audiences: ['signet', 'spire-server'] });
    let asked: readonly string[] = [];
    rig.fake.review = (_, audiences) => {
      asked = audiences;
      return psatReview();
    };
    assertValue((await runAttestation(rig)).result);
    assert.deepEqual(asked, ['signet', 'spire-server']);
  });

  const reviews: readonly [string, object, ErrorCode][] = [
    ['that the API server does not accept', { authenticated: false }, 'KUBE_TOKEN'],
    ['of which nothing is said', {}, 'KUBE_TOKEN'],
    ['for another audience', { ...psatReview(), audiences: ['other'] }, 'KUBE_TOKEN'],
    ['whose audience is not said', { ...psatReview(), audiences: undefined }, 'KUBE_TOKEN'],
    ['of another service account', ofUser('system:serviceaccount:spire:x'), ACCOUNT],
    ['of another namespace', ofUser('system:serviceaccount:x:spire-agent'), ACCOUNT],
    ['of a user', ofUser('spire:spire-agent'), ACCOUNT],
    ['of a node', ofUser('system:node:node-a'), ACCOUNT],
    ['bound to no pod', psatReview({ 'pod-name': [] }), 'K8S_PSAT_UNBOUND'],
    ['without the uid of its pod', psatReview({ 'pod-uid': [] }), 'K8S_PSAT_UNBOUND'],
    ['without its node', psatReview({ 'node-name': [] }), 'K8S_PSAT_UNBOUND'],
    ['of two pods', psatReview({ 'pod-uid': ['pod-uid', 'b'] }), 'K8S_PSAT_UNBOUND'],
    ['of a pod of another uid', psatReview({ 'pod-uid': ['b'] }), 'K8S_PSAT_POD'],
    ['of a pod that is gone', psatReview({ 'pod-name': ['gone'] }), 'K8S_PSAT_POD'],
    ['of a pod elsewhere', psatReview({ 'node-name': ['node-b'] }), 'K8S_PSAT_POD'],
    ['of a node of another uid', psatReview({ 'node-uid': ['b'] }), 'K8S_PSAT_NODE'],
    ['whose pod is a path', psatReview({ 'pod-name': ['../x'] }), 'K8S_PSAT_POD'],
  ];
  for (const [name, review, code] of reviews) {
    test(`refuses a token ${name}`, async (context) => {
      const rig = await psatRig(context);
      rig.fake.review = () => review;
      assertRefused((await runAttestation(rig)).result, code);
    });
  }

  test('takes a token that does not say the uid of its node', async (context) => {
    const rig = await psatRig(context);
    rig.fake.review = () => psatReview({ 'node-uid': [], 'credential-id': [] });
    const node = assertValue((await runAttestation(rig)).result);
    assert.deepEqual(node.auditFacts, { podUid: 'pod-uid' });
  });

  const changes: readonly [string, (rig: PsatRig) => unknown, ErrorCode][] = [
    ['pod was deleted', ({ fake }) => fake.remove(PODS, 'spire/agent-x'), 'K8S_PSAT_POD'],
    [
      'pod has ended',
      ({ fake }) => fake.put(PODS, { ...PSAT_POD, status: { phase: 'Succeeded' } }),
      'K8S_PSAT_POD',
    ],
    [
      'pod has another service account',
      ({ fake }) =>
        fake.put(PODS, { ...PSAT_POD, spec: { ...PSAT_POD.spec, serviceAccountName: 'x' } }),
      'K8S_PSAT_POD',
    ],
    [
      'pod is on no node yet',
      ({ fake }) => fake.put(PODS, { ...PSAT_POD, spec: { serviceAccountName: 'spire-agent' } }),
      'K8S_PSAT_POD',
    ],
    ['node was deleted', ({ fake }) => fake.remove(NODES, 'node-a'), 'K8S_PSAT_NODE'],
    [
      'node is being deleted',
      ({ fake }) =>
        fake.put(NODES, {
          metadata: { ...PSAT_NODE.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
        }),
      'K8S_PSAT_NODE',
    ],
  ];
  for (const [name, change, code] of changes) {
    test(`refuses when the ${name} after the token was given`, async (context) => {
      const rig = await psatRig(context);
      change(rig);
      assertRefused((await runAttestation(rig)).result, code);
    });
  }

  const faults: readonly [string, KubeFault][] = [
    ['is away', 'reset'],
    ['does not know this server', { status: 401 }],
    ['does not let this server ask', { status: 403 }],
    ['has no such API', { status: 404 }],
    ['has a fault', { status: 500 }],
    ['is throttling', { status: 429 }],
    ['is a proxy with a page', { text: '<html>' }],
  ];
  for (const [name, fault] of faults) {
    test(`decides nothing when the API server ${name}, at any of the calls`, async (context) => {
      for (const at of ['tokenreviews', 'pods', 'nodes']) {
        // Where there is no such pod or node, that is an answer.
        if (at !== 'tokenreviews' && name === 'has no such API') continue;
        const rig = await psatRig(context);
        rig.fake.fault = ({ path }) => (path.includes(`/${at}`) ? fault : undefined);
        const { result } = await runAttestation(rig);
        assertRefused(result, 'K8S_PSAT_API');
        assert.ok(
          !result.ok && result.error.retryable && result.error.statusName === 'Unavailable',
        );
        assert.doesNotMatch(result.error.message, new RegExp(`hush|${PSAT_TOKEN}`));
      }
    });
  }

  test('refuses a cluster that it does not know, and asks no other about the token', async (context) => {
    const rig = await psatRig(context);
    const payload = (): Buffer => encodeK8sPsatPayload({ cluster: 'west', token: PSAT_TOKEN });
    assertRefused((await runAttestation(rig, { payload })).result, 'K8S_PSAT_CLUSTER');
    assert.equal(rig.fake.calls.length, 0);
  });

  test('has the token judged by the cluster that it is shown for, and by no other', async (context) => {
    const east = await psatRig(context);
    const west = await psatRig(context);
    west.fake.review = () => ({ authenticated: false });
    const clusters = [east.cluster, { ...west.cluster, name: 'west' }];
    const server = createK8sPsatAttestor({ trustDomain: AGENT_TEST_DOMAIN, clusters });
    const rig = { ...east, server };
    const payload = (): Buffer => encodeK8sPsatPayload({ cluster: 'west', token: PSAT_TOKEN });
    assertRefused((await runAttestation(rig, { payload })).result, 'KUBE_TOKEN');
    assert.equal(east.fake.calls.length, 0);
    assertValue((await runAttestation(rig)).result);
  });

  test('asks nobody about what has not the form of a token', async (context) => {
    const rig = await psatRig(context);
    for (const token of ['a b', 'a\n', 'ä', 'a\0']) {
      const payload = (): Buffer => encodeK8sPsatPayload({ cluster: 'east', token });
      assertRefused((await runAttestation(rig, { payload })).result, 'KUBE_TOKEN');
    }
    for (const payload of ['{"cluster":"east"}', '{"cluster":"east","token":7}', '{"token":"a"}']) {
      const { result } = await runAttestation(rig, { payload: () => Buffer.from(payload) });
      assertRefused(result, 'ATTESTATION_PAYLOAD');
    }
    assert.equal(rig.fake.calls.length, 0);
  });

  test('passes a large token on, and refuses one beyond the limit', async (context) => {
    const rig = await psatRig(context);
    const frame = encodeK8sPsatPayload({ cluster: 'east', token: '' }).length;
    const sized = (size: number) => () =>
      encodeK8sPsatPayload({ cluster: 'east', token: 'x'.repeat(size - frame) });
    for (const [size, code] of [
      [MAX_K8S_PSAT_BYTES - 1, 'KUBE_TOKEN'],
      [MAX_K8S_PSAT_BYTES, 'KUBE_TOKEN'],
      [MAX_K8S_PSAT_BYTES + 1, 'ATTESTATION_TOO_LARGE'],
    ] as const) {
      assertRefused((await runAttestation(rig, { payload: sized(size) })).result, code);
    }
    assert.equal(rig.fake.calls.length, 2);
  });

  test('reads the token anew each time, and says what is wrong with its file', async (context) => {
    const { tokenPath, begin } = await psatRig(context);
    writeFileSync(tokenPath, 'another\n');
    assert.equal((await begin()).payload.toString(), '{"cluster":"east","token":"another"}');
    const agent = createAgentHalf({ cluster: 'east', tokenPath });
    const key = { spki: Buffer.alloc(0), sign: () => Buffer.alloc(0) };
    for (const text of ['', ' \n', 'x'.repeat(MAX_K8S_PSAT_BYTES + 1)]) {
      writeFileSync(tokenPath, text);
      assertRefused(await agent.begin(key), 'AGENT_K8S_PSAT_TOKEN');
    }
    rmSync(tokenPath);
    assertRefused(await agent.begin(key), 'AGENT_K8S_PSAT_TOKEN');
  });
});

function ofUser(username: string): object {
  return { ...psatReview(), user: { username, extra: {} } };
}
