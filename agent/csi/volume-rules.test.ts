import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodePublishVolumeRequest, VolumeCapability } from '../../src/gen/csi/csi.ts';
import { volume } from '../../test/support/csi.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { checkVolume, podOf } from './volume-rules.ts';

const KUBELET = { 'csi.storage.k8s.io/ephemeral': 'true' };

function files(changes: {
  readonly fsType?: string;
  readonly mountFlags?: string[];
  readonly volumeMountGroup?: string;
}): VolumeCapability {
  const value = { fsType: '', mountFlags: [], volumeMountGroup: '', ...changes };
  return { accessType: { $case: 'mount', value } };
}

test('a volume that is written in its pod and read-only is given', () => {
  assertValue(checkVolume(volume({ targetPath: '/t' })));
  const more = { ...KUBELET, 'csi.storage.k8s.io/of.tomorrow': 'x' };
  assertValue(checkVolume(volume({ targetPath: '/t', volumeContext: more })));
});

test('a request that lacks what the interface demands is refused as incomplete', () => {
  const lacking: readonly Partial<NodePublishVolumeRequest>[] = [
    { volumeId: '' },
    { targetPath: '' },
    { volumeCapability: undefined },
    { volumeCapability: { accessType: undefined } },
  ];
  for (const changes of lacking) {
    assertRefused(checkVolume(volume({ targetPath: '/t', ...changes })), 'CSI_REQUEST_INCOMPLETE');
  }
});

test('any other volume is refused', () => {
  const others: readonly Partial<NodePublishVolumeRequest>[] = [
    { readonly: false },
    { volumeContext: {} },
    { volumeContext: { 'csi.storage.k8s.io/ephemeral': 'false' } },
    { volumeContext: { 'csi.storage.k8s.io/ephemeral': 'TRUE' } },
    { volumeContext: { ...KUBELET, path: '/etc' } },
    { volumeContext: { ...KUBELET, 'xcsi.storage.k8s.io/pod.name': '' } },
    { stagingTargetPath: '/staging' },
    { publishContext: { device: 'sdb' } },
    { volumeCapability: { accessType: { $case: 'block', value: {} } } },
    { volumeCapability: files({ fsType: 'ext4' }) },
    { volumeCapability: files({ mountFlags: ['exec'] }) },
    { volumeCapability: files({ volumeMountGroup: '1000' }) },
  ];
  for (const changes of others) {
    assertRefused(checkVolume(volume({ targetPath: '/t', ...changes })), 'CSI_VOLUME_UNSUPPORTED');
  }
});

test('the log names the pod as the kubelet does', () => {
  assert.deepEqual(podOf(volume()), { namespace: 'shop', pod: 'web-0', podUid: 'uid-1' });
});
