import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { parseTargetPath } from './target-path.ts';

const PODS = '/var/lib/kubelet/pods';

test('a target is taken apart as the kubelet makes it', () => {
  const target = `${PODS}/uid/volumes/kubernetes.io~csi/spiffe/mount`;
  assert.deepEqual(assertValue(parseTargetPath(PODS, target)), {
    folder: 'uid/volumes/kubernetes.io~csi/spiffe',
    name: 'mount',
  });
});

test('a target that is anything else is refused', () => {
  const good = `${PODS}/uid/volumes/kubernetes.io~csi`;
  for (const target of [
    '/etc',
    '/etc/uid/volumes/kubernetes.io~csi/spiffe/mount',
    'uid/volumes/kubernetes.io~csi/spiffe/mount',
    PODS,
    `${PODS}-of-another/uid/volumes/kubernetes.io~csi/spiffe/mount`,
    good,
    `${good}/spiffe`,
    `${good}/spiffe/mount/more`,
    `${good}/spiffe/mount/`,
    `${good}//spiffe/mount`,
    `${good}/./spiffe/mount`,
    `${good}/../../../../../../etc`,
    `${good}/spiffe/..`,
    `${good}/spiffe/mount\0`,
    `${PODS}/uid/volumes/kubernetes.io~secret/spiffe/mount`,
    `${PODS}/uid/plugins/kubernetes.io~csi/spiffe/mount`,
    `${good}/${'x'.repeat(4096)}/mount`,
  ]) {
    assertRefused(parseTargetPath(PODS, target), 'CSI_TARGET_REFUSED');
  }
  assertRefused(parseTargetPath(PODS, ''), 'CSI_REQUEST_INCOMPLETE');
});
