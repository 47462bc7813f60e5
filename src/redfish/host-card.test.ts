import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answeringBmc } from '../../test/support/answering-bmc.ts';
import { unwrap } from '../base/result.ts';
import { errorBody } from '../main/demo/mock-bmc/measurements.ts';
import { findHostCard } from './host-card.ts';

const ROOT = '/redfish/v1';
const CHASSIS = `${ROOT}/Chassis/Self`;
const ADAPTERS = `${CHASSIS}/NetworkAdapters`;
const DPU = `${ADAPTERS}/NIC.Slot.5`;
const DEVICE = `${ROOT}/Systems/Self/PCIeDevices/177-0`;
const link = (path: string) => ({ '@odata.id': path });
const list = (...paths: readonly string[]) => ({ Members: paths.map(link) });

const system = {
  Id: 'Self',
  SerialNumber: 'HOST1 ',
  UUID: 'ABCDEF00-0000-4000-8000-000000000001',
  PCIeDevices: [link(DEVICE), link(DEVICE)],
};

const TREE: Readonly<Record<string, unknown>> = {
  [`${ROOT}/Systems`]: list(`${ROOT}/Systems/Self`, `${ROOT}/Systems/HGX_Baseboard_0`),
  [`${ROOT}/Systems/Self`]: system,
  [`${ROOT}/Systems/HGX_Baseboard_0`]: { Id: 'HGX_Baseboard_0', SystemType: 'Physical' },
  [`${ROOT}/Chassis`]: list(`${ROOT}/Chassis/Fan`, CHASSIS),
  [`${ROOT}/Chassis/Fan`]: { Id: 'Fan' },
  [CHASSIS]: { NetworkAdapters: link(ADAPTERS) },
  [ADAPTERS]: list(`${ADAPTERS}/NIC.Embedded.1`, DPU),
  [`${ADAPTERS}/NIC.Embedded.1`]: { SerialNumber: 'XX' },
  [DPU]: {
    SerialNumber: 'MT1                 ',
    NetworkDeviceFunctions: link(`${DPU}/NetworkDeviceFunctions`),
  },
  [`${DPU}/NetworkDeviceFunctions`]: list(
    `${DPU}/NetworkDeviceFunctions/1`,
    `${DPU}/NetworkDeviceFunctions/2`,
  ),
  [`${DPU}/NetworkDeviceFunctions/1`]: {
    Ethernet: { PermanentMACAddress: '02:AA:00:00:00:01', MACAddress: '02:FF:00:00:00:01' },
  },
  [`${DPU}/NetworkDeviceFunctions/2`]: { Ethernet: { MACAddress: '02:aa:00:00:00:02' } },
  [DEVICE]: { SerialNumber: 'MT2   ' },
};

function hostBmc(change: Readonly<Record<string, unknown>> = {}) {
  const tree: Readonly<Record<string, unknown>> = { ...TREE, ...change };
  return answeringBmc((_, path) => {
    const body = tree[path];
    if (body === undefined) return { status: 404, body: Buffer.from('{}') };
    return { status: 200, body: Buffer.from(JSON.stringify(body)) };
  });
}

test('a card is found by its serial number, padded, with its permanent MACs', async () => {
  assert.deepEqual(unwrap(await findHostCard(hostBmc(), 'MT1')), {
    hostSerial: 'HOST1',
    hostUuid: 'abcdef00-0000-4000-8000-000000000001',
    macs: ['02:aa:00:00:00:01', '02:aa:00:00:00:02'],
  });
});

test('a card that is a PCIe device only is found, without MACs', async () => {
  assert.deepEqual(unwrap(await findHostCard(hostBmc(), 'MT2'))?.macs, []);
});

for (const serial of ['MT', 'MT11', 'mt1', '']) {
  test(`a card "${serial}" that is in none of the host is not found`, async () => {
    assert.equal(unwrap(await findHostCard(hostBmc(), serial)), undefined);
  });
}

const BROKEN: readonly (readonly [what: string, change: Record<string, unknown>, code: string])[] =
  [
    [
      'an adapter that is an internal error',
      { [DPU]: errorBody('InternalError') },
      'REDFISH_FAULT',
    ],
    ['an adapter that is gone', { [`${ADAPTERS}/NIC.Embedded.1`]: undefined }, 'REDFISH_NOT_FOUND'],
    ['adapters without a list', { [ADAPTERS]: {} }, 'REDFISH_ANSWER_SHAPE'],
    [
      'no host',
      { [`${ROOT}/Systems`]: list(`${ROOT}/Systems/HGX_Baseboard_0`) },
      'REDFISH_ANSWER_SHAPE',
    ],
    [
      'two hosts',
      { [`${ROOT}/Systems/HGX_Baseboard_0`]: { Id: 'Other', SystemType: 'Physical' } },
      'REDFISH_ANSWER_SHAPE',
    ],
    [
      'a link off the BMC',
      { [CHASSIS]: { NetworkAdapters: link('https://evil.example/redfish/v1') } },
      'REDFISH_PATH',
    ],
  ];

for (const [what, change, code] of BROKEN) {
  test(`${what}: nothing is concluded, ${code}`, async () => {
    const found = await findHostCard(hostBmc(change), 'MT1');
    assert.equal(found.ok ? 'ok' : found.error.code, code);
  });
}

test('PCIe devices of which one is no link are refused, as are 257', async () => {
  for (const devices of [[{}], [7], Array(257).fill(link(DEVICE))]) {
    const changed = { [`${ROOT}/Systems/Self`]: { ...system, PCIeDevices: devices } };
    assert.equal((await findHostCard(hostBmc(changed), 'MT2')).ok, false);
  }
});
