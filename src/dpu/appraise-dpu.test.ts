import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import type { DpuDevicePin } from '../rules/dpu.ts';
import { checkDeviceKeys } from './appraise-dpu.ts';
import type { VerifiedEvidence } from './evidence.ts';

const [ONE, TWO, THREE] = ['11', '22', '33'].map((byte) => byte.repeat(32)) as [
  string,
  string,
  string,
];

/** Evidence as far as its key matters. */
const shown = (target: string, deviceIdSha256: string) =>
  ({ target, chain: { deviceIdSha256 } }) as VerifiedEvidence;

const dpu = (devicePins?: readonly DpuDevicePin[]) => ({
  serial: 'MT1',
  deviceIds: [ONE, TWO],
  devicePins,
});

test('§7.9 a device key is good for the component that it was pinned for, and no other', () => {
  const pinned = dpu([
    { target: 'irot', deviceId: ONE },
    { target: 'erot', deviceId: TWO },
  ]);
  assertValue(checkDeviceKeys(pinned, [shown('irot', ONE), shown('erot', TWO)]));
  assertValue(checkDeviceKeys(pinned, [shown('erot', TWO)]));
  const swapped = [shown('irot', TWO), shown('erot', ONE)];
  assertRefused(checkDeviceKeys(pinned, swapped), 'DPU_KEY_UNKNOWN');
  assertRefused(checkDeviceKeys(pinned, [shown('irot', TWO)]), 'DPU_KEY_UNKNOWN');
  assertRefused(checkDeviceKeys(pinned, [shown('third', ONE)]), 'DPU_KEY_UNKNOWN');
  // What is not known of one component is known of the other.
  const half = dpu([{ target: 'irot', deviceId: ONE }]);
  assertValue(checkDeviceKeys(half, [shown('irot', ONE), shown('erot', TWO)]));
  assertRefused(checkDeviceKeys(half, swapped), 'DPU_KEY_UNKNOWN');
});

test('where no component is known for a key any of the pinned ones will do, each once', () => {
  assertValue(checkDeviceKeys(dpu(), [shown('irot', TWO), shown('erot', ONE)]));
  assertRefused(
    checkDeviceKeys(dpu(), [shown('irot', ONE), shown('erot', ONE)]),
    'DPU_KEY_UNKNOWN',
  );
  assertRefused(checkDeviceKeys(dpu(), [shown('irot', THREE)]), 'DPU_KEY_UNKNOWN');
  assertRefused(checkDeviceKeys({ ...dpu(), deviceIds: [] }, []), 'DPU_KEY_MISSING');
});
