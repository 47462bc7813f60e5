import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfigValue } from '../../src/runtime/config.ts';
import { workloadAttestorsSchema } from './settings.ts';

const checked = (value: unknown) => checkConfigValue(value, workloadAttestorsSchema);

test('an agent that is told nothing knows processes of the machine only', () => {
  const settings = checked({});
  assert.ok(settings.ok);
  assert.deepEqual(Object.keys(settings.value), ['unix']);
});

test('k8s is on with nothing said of it, by every source, the best first', () => {
  const settings = checked({ k8s: {} });
  assert.ok(settings.ok);
  const { k8s } = settings.value;
  assert.deepEqual(k8s?.sources, ['kubelet-socket', 'kubelet', 'api-server']);
  assert.equal(k8s?.hold, 8);
  assert.equal(k8s?.kubelet.port, 10_250);
  assert.match(k8s?.kubelet.caPath ?? '', /ca\.crt$/);
});

const refused: readonly [string, object][] = [
  ['no source', { sources: [] }],
  ['an unknown source', { sources: ['docker'] }],
  ['a hold as long as an attestation may take', { hold: '10s' }],
  ['a node that would be another field selector', { nodeName: 'node-a,status.phase=Running' }],
  ['a kubelet that is not verified', { kubelet: { skipVerification: true } }],
  ['a relative path', { kubeletSocket: 'pods.sock' }],
];
for (const [name, k8s] of refused) {
  test(`k8s is refused with ${name}`, () => assert.equal(checked({ k8s }).ok, false));
}
