import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startMockBmc } from '../../test/support/mock-bmc.ts';
import { unwrap } from '../base/result.ts';
import { errorBody } from '../main/demo/mock-bmc/measurements.ts';
import { readInventoryFromBmc } from './inventory.ts';

const SYSTEM = 'GET /redfish/v1/Systems/Bluefield';

test('a BMC tells of its card: numbers without padding, identifiers in lower case', async (context) => {
  const { mock, client } = await startMockBmc(context);
  mock.tell({ uuid: 'ABCDEF00-0000-4000-8000-000000000001', baseMac: 'AA:BB:CC:00:00:10' });
  const { firmware, ...inventory } = unwrap(await readInventoryFromBmc(client));
  assert.deepEqual(inventory, {
    serial: 'MT0000X00001',
    partNumber: '900-00000-0000-AA0',
    sku: '900-00000-0000-AA0',
    model: 'BlueField-3 DPU',
    uuid: 'abcdef00-0000-4000-8000-000000000001',
    psid: 'MT_0000009999',
    baseMac: 'aa:bb:cc:00:00:10',
    bmcMac: '02:00:00:00:00:b1',
    bmcUuid: '00000000-0000-4000-8000-0000000000b1',
  });
  assert.equal(firmware.get('DPU_NIC'), '32.47.1000');
});

test('what a BMC does not have is left out, but for the serial number', async (context) => {
  const { mock, client } = await startMockBmc(context);
  mock.decide = (request) => {
    if (request === SYSTEM) return { status: 200, body: { SerialNumber: 'MT1 ' } };
    return /Oem|Managers|FirmwareInventory/.test(request) ? { status: 404 } : undefined;
  };
  const inventory = unwrap(await readInventoryFromBmc(client));
  assert.equal(inventory.serial, 'MT1');
  assert.equal(inventory.uuid, undefined);
  assert.equal(inventory.baseMac, undefined);
  assert.equal(inventory.firmware.size, 0);
});

const SERIALS: readonly (readonly [what: string, serial: unknown])[] = [
  ['missing', undefined],
  ['empty', ''],
  ['spaces', '      '],
  ['a number', 7],
  ['with a space inside', 'MT1 MT2'],
  ['with a slash', 'MT1/../x'],
  ['with a line end', 'MT1\nMT2'],
  ['not ASCII', 'МТ1'],
  ['of 65 characters', 'M'.repeat(65)],
];

for (const [what, serial] of SERIALS) {
  test(`a serial number that is ${what} is no serial number`, async (context) => {
    const { mock, client } = await startMockBmc(context);
    const body = { SerialNumber: serial };
    mock.decide = (request) => (request === SYSTEM ? { status: 200, body } : undefined);
    const read = await readInventoryFromBmc(client);
    assert.equal(read.ok ? read.value.serial : read.error.code, 'REDFISH_ANSWER_SHAPE');
  });
}

test('identifiers of another form are left out', async (context) => {
  const { mock, client } = await startMockBmc(context);
  const body = { SerialNumber: 'MT1', UUID: 'not a uuid', BaseMAC: '02-00-00-00-00-10' };
  mock.tell({ psid: 'XX_1' });
  mock.decide = (request) =>
    request === SYSTEM || request.endsWith('/Oem/Nvidia') ? { status: 200, body } : undefined;
  const inventory = unwrap(await readInventoryFromBmc(client));
  assert.equal(inventory.uuid, undefined);
  assert.equal(inventory.baseMac, undefined);
  assert.equal(inventory.psid, undefined);
});

test('firmware that says that there is none, and items with an error, are left out', async (context) => {
  const { mock, client } = await startMockBmc(context);
  mock.tell({ firmware: { golden: 'no valid golden image!!!!', faulty: '1', good: '2' } });
  mock.decide = (request) =>
    request.endsWith('/faulty')
      ? { status: 200, body: { Version: '1', ...errorBody('InternalError') } }
      : undefined;
  const { firmware } = unwrap(await readInventoryFromBmc(client));
  assert.deepEqual(
    [...firmware],
    [
      ['good', '2'],
      ['DPU_BOARD', 'MT_0000009999'],
    ],
  );
});
