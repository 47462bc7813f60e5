import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../base/bytes.ts';
import { unwrap } from '../base/result.ts';
import { readDpfDevices } from './dpf-devices.ts';

const read = (value: unknown) => readDpfDevices(utf8(JSON.stringify(value)));

const device = {
  apiVersion: 'provisioning.dpu.nvidia.com/v1alpha1',
  kind: 'DPUDevice',
  metadata: { name: 'rack-7-dpu-1', namespace: 'dpf' },
  spec: { serialNumber: 'MT0000X00001', bmcIp: '10.1.2.3', opn: '900-00000-0000-AA0' },
  status: {
    bmcIp: '10.9.9.9',
    bmcPort: 8443,
    dpuMode: 'zero-trust',
    dpuType: 'BlueField3',
    pf0Mac: '02:00:00:00:00:10',
    psid: 'MT_0000009999',
    serialNumber: 'MT0000X00001  ',
    secureBoot: { enabled: true },
  },
};

test('a DPUDevice states its card; what the operator wrote goes before what was found', () => {
  assert.deepEqual(unwrap(read(device)), [
    {
      serial: 'MT0000X00001',
      model: 'bluefield-3',
      opn: '900-00000-0000-AA0',
      psid: 'MT_0000009999',
      bmcHost: '10.1.2.3',
      bmcPort: 8443,
      pf0Mac: '02:00:00:00:00:10',
    },
  ]);
});

test('a list as kubectl prints it is read item by item', () => {
  for (const kind of ['List', 'DPUDeviceList']) {
    assert.equal(unwrap(read({ kind, items: [device, device] })).length, 2);
  }
  assert.deepEqual(unwrap(read({ kind: 'List', items: [] })), []);
});

test('a device of which only the serial number is known states nothing else', () => {
  const { apiVersion, kind } = device;
  const [stated] = unwrap(read({ apiVersion, kind, spec: { serialNumber: 'MT1' } }));
  assert.deepEqual(
    Object.entries(stated ?? {}).filter(([, value]) => value !== undefined),
    [['serial', 'MT1']],
  );
});

const REFUSED: readonly (readonly [what: string, value: unknown])[] = [
  ['no object', []],
  ['a list of another kind', { kind: 'PodList', items: [device] }],
  ['items that are no list', { kind: 'List', items: device }],
  ['an item that is no object', { kind: 'List', items: [device, 7] }],
  ['an object of another kind', { ...device, kind: 'DPU' }],
  ['another group', { ...device, apiVersion: 'v1' }],
  ['a group that only begins alike', { ...device, apiVersion: 'provisioning.dpu.nvidia.com.x/v1' }],
  ['no serial number', { ...device, spec: {}, status: {} }],
  ['a serial number that is no text', { ...device, spec: { serialNumber: 7 }, status: {} }],
  ['two serial numbers', { ...device, status: { serialNumber: 'MT2' } }],
  ['NIC mode', { ...device, status: { dpuMode: 'nic' } }],
  ['port 0', { ...device, spec: { ...device.spec, bmcPort: 0 } }],
  ['port 65536', { ...device, spec: { ...device.spec, bmcPort: 65_536 } }],
  ['half a port', { ...device, spec: { ...device.spec, bmcPort: 443.5 } }],
  ['a port in words', { ...device, spec: { ...device.spec, bmcPort: '443' } }],
];

for (const [what, value] of REFUSED) {
  test(`${what} is refused`, () => {
    const stated = read(value);
    assert.equal(stated.ok ? stated.value : stated.error.code, 'DPU_INVALID');
  });
}

test('a key twice is refused', () => {
  const text = `{"apiVersion":"x","apiVersion":"${device.apiVersion}","kind":"DPUDevice"}`;
  assert.equal(readDpfDevices(utf8(text)).ok, false);
});

test('whatever is read, what comes out has a serial number, and nothing throws', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (spec, status) => {
      const stated = read({ ...device, spec, status });
      if (!stated.ok) return stated.error.code === 'DPU_INVALID';
      return stated.value.every(({ serial }) => serial.trim() !== '');
    }),
  );
});
