import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startMockBmc } from '../../test/support/mock-bmc.ts';
import { unwrap } from '../base/result.ts';
import { readInventoryFromBmc } from '../redfish/inventory.ts';
import { statedByBmc } from './bmc-source.ts';

test('a BMC states its card for an import, and pins no device key', async (context) => {
  const { client } = await startMockBmc(context);
  const read = unwrap(await readInventoryFromBmc(client));
  const tlsPin = 'ab'.repeat(32);
  const stated = statedByBmc(read, { host: '10.1.2.3', port: 443, tlsPin });
  assert.deepEqual(stated, {
    serial: 'MT0000X00001',
    model: 'bluefield-3',
    opn: '900-00000-0000-AA0',
    psid: 'MT_0000009999',
    bmcHost: '10.1.2.3',
    bmcPort: 443,
    bmcTlsPin: tlsPin,
    bmcUuid: '00000000-0000-4000-8000-0000000000b1',
    bmcMac: '02:00:00:00:00:b1',
  });
});

test('a model that names no generation states none', async (context) => {
  const { client } = await startMockBmc(context);
  const read = unwrap(await readInventoryFromBmc(client));
  for (const model of [undefined, 'ConnectX-7', 'BlueField-30']) {
    const place = { host: 'bmc', port: 443, tlsPin: '' };
    assert.equal(statedByBmc({ ...read, model }, place).model, undefined);
  }
});
