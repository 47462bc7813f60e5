import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { psatReview, psatRig } from '../../test/support/k8s-psat.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { MAX_TOKEN_BYTES, reviewToken } from './token-review.ts';

const EXPECTED = ['spire-server'];

describe('the review of a token', () => {
  test('says whose it is, and what it is bound to', async (context) => {
    const { fake, cluster } = await psatRig(context);
    fake.review = () => psatReview();
    assert.deepEqual(assertValue(await reviewToken(cluster.api, 'a.b.c', EXPECTED)), {
      username: 'system:serviceaccount:spire:spire-agent',
      uid: 'sa-uid',
      groups: ['system:serviceaccounts'],
      audiences: EXPECTED,
      serviceAccount: { namespace: 'spire', name: 'spire-agent' },
      podName: 'agent-x',
      podUid: 'pod-uid',
      nodeName: 'node-a',
      nodeUid: 'node-uid',
      credentialId: 'JTI=1',
    });
  });

  test('names no service account of a user that only looks like one', async (context) => {
    const { fake, cluster } = await psatRig(context);
    const names = ['a', 'system:serviceaccount:a', 'system:serviceaccount:a:b:c', 'x:system:a:b'];
    for (const username of [...names, 'system:serviceaccount::b', 'system:serviceaccount:a/b:c']) {
      fake.review = () => ({ ...psatReview(), user: { username } });
      const token = assertValue(await reviewToken(cluster.api, 'a.b.c', EXPECTED));
      assert.equal(token.serviceAccount, undefined, username);
    }
  });

  const refused: readonly [string, object][] = [
    ['does not say yes', { ...psatReview(), authenticated: undefined }],
    ['says no, and yet whose it is', { ...psatReview(), authenticated: false }],
    ['says yes in words', { ...psatReview(), authenticated: 'true' }],
    ['has an error', { error: 'expired' }],
    ['is for others', { ...psatReview(), audiences: ['a', 'b'] }],
    ['has an audience in place of a list', { ...psatReview(), audiences: 'spire-server' }],
  ];
  for (const [name, status] of refused) {
    test(`is none where the answer ${name}`, async (context) => {
      const { fake, cluster } = await psatRig(context);
      fake.review = () => status;
      assertRefused(await reviewToken(cluster.api, 'a.b.c', EXPECTED), 'KUBE_TOKEN');
    });
  }

  test('is not asked for without an audience of ours, nor for what can be no token', async (context) => {
    const { fake, cluster } = await psatRig(context);
    fake.review = () => psatReview();
    const huge = 'x'.repeat(MAX_TOKEN_BYTES + 1);
    assertRefused(await reviewToken(cluster.api, 'a.b.c', []), 'KUBE_TOKEN');
    for (const token of ['', ' ', 'a\n', huge]) {
      assertRefused(await reviewToken(cluster.api, token, EXPECTED), 'KUBE_TOKEN');
    }
    assert.equal(fake.calls.length, 0);
    assertValue(await reviewToken(cluster.api, huge.slice(1), EXPECTED));
  });
});
