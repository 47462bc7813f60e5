import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createK8sPsatAttestor as createAgentHalf } from '../../agent/attestation/k8s_psat/agent.ts';
import { createK8sPsatAttestor } from '../../src/attestation/k8s_psat/server.ts';
import type { PsatCluster } from '../../src/attestation/k8s_psat/standing.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import { AGENT_TEST_DOMAIN } from './agent-ca.ts';
import { type AttestorRig, testRequest } from './attestor-suite.ts';
import { FakeKube } from './fake-kube.ts';
import { assertValue } from './refused.ts';
import { testFolder } from './workload-api.ts';

/** A token of the pod below, as the fake API server reviews it. */
export const PSAT_TOKEN = 'header.claims.signature';
const EXTRA = 'authentication.kubernetes.io/';

/** A node with labels, as a cluster has it. */
export const PSAT_NODE = {
  metadata: { name: 'node-a', uid: 'node-uid', labels: { zone: 'z1', rack: '', secret: 'x' } },
};

/** The pod of an agent on it. */
export const PSAT_POD = {
  metadata: { name: 'agent-x', namespace: 'spire', uid: 'pod-uid', labels: { app: 'agent' } },
  spec: { nodeName: 'node-a', serviceAccountName: 'spire-agent' },
  status: { phase: 'Running', hostIP: '10.0.0.7' },
};

/** What a review of the pod's token says. */
export function psatReview(extra: Readonly<Record<string, readonly string[]>> = {}): object {
  return {
    authenticated: true,
    audiences: ['spire-server'],
    user: {
      username: 'system:serviceaccount:spire:spire-agent',
      uid: 'sa-uid',
      groups: ['system:serviceaccounts'],
      extra: {
        [`${EXTRA}pod-name`]: ['agent-x'],
        [`${EXTRA}pod-uid`]: ['pod-uid'],
        [`${EXTRA}node-name`]: ['node-a'],
        [`${EXTRA}node-uid`]: ['node-uid'],
        [`${EXTRA}credential-id`]: ['JTI=1'],
        ...Object.fromEntries(Object.entries(extra).map(([key, value]) => [EXTRA + key, value])),
      },
    },
  };
}

/** Both halves of `k8s_psat`, with a fake API server. */
export interface PsatRig extends AttestorRig {
  readonly fake: FakeKube;
  /** The cluster `east`, as the server has it. */
  readonly cluster: PsatCluster;
  /** File that the agent's token is in. */
  readonly tokenPath: string;
}

/** Sets up an agent's pod on its node; the cluster's name is `east`. */
export async function psatRig(
  context: TestContext,
  cluster: Partial<PsatCluster> = {},
): Promise<PsatRig> {
  const fake = await FakeKube.start();
  const { kubeconfigPath } = fake;
  const api = assertValue(await openKubeApi({ kubeconfigPath }, { clock: systemClock }));
  context.after(async () => {
    api.close();
    await fake.stop();
  });
  fake.put('/api/v1/nodes', PSAT_NODE);
  fake.put('/api/v1/pods', PSAT_POD);
  fake.review = (token) => (token === PSAT_TOKEN ? psatReview() : { authenticated: false });
  const tokenPath = join(testFolder(context), 'token');
  writeFileSync(tokenPath, `${PSAT_TOKEN}\n`);
  const agent = createAgentHalf({ cluster: 'east', tokenPath });
  const request = testRequest();
  const east: PsatCluster = {
    name: 'east',
    api,
    serviceAccounts: new Set(['spire:spire-agent']),
    audiences: ['spire-server'],
    nodeLabelKeys: new Set(['zone', 'rack', 'absent']),
    podLabelKeys: new Set(['app']),
    ...cluster,
  };
  return {
    fake,
    cluster: east,
    tokenPath,
    request,
    server: createK8sPsatAttestor({ trustDomain: AGENT_TEST_DOMAIN, clusters: [east] }),
    begin: async () =>
      assertValue(await agent.begin({ spki: request.csrSpki, sign: () => Buffer.alloc(0) })),
  };
}
