import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podReader } from './projections.ts';

const POD = {
  metadata: { name: 'web', namespace: 'shop', uid: 'u', managedFields: [{ manager: 'm' }] },
  spec: { nodeName: 'node-a' },
};

for (const phase of ['Pending', 'Running', 'Unknown', '', undefined]) {
  test(`a pod of phase ${phase} is one that rules see, without its status`, () => {
    const pod = podReader()({ ...POD, status: { phase, hostIP: '10.0.0.1' } });
    assert.deepEqual([pod?.uid, pod?.nodeName], ['u', 'node-a']);
    assert.doesNotMatch(pod?.json ?? '', /10\.0\.0\.1|managedFields/);
  });
}

for (const phase of ['Succeeded', 'Failed']) {
  test(`a pod that has ended (${phase}) is none`, () => {
    assert.equal(podReader()({ ...POD, status: { phase } }), undefined);
  });
}
