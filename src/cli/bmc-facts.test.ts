import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startMockBmc } from '../../test/support/mock-bmc.ts';
import { unwrap } from '../base/result.ts';
import { readInventoryFromBmc } from '../redfish/inventory.ts';
import { factsOfBmc } from './bmc-facts.ts';

const tlsPin = 'ab'.repeat(32);

test('a BMC states its card for an import, and pins no device key', async (context) => {
  const { client } = await startMockBmc(context);
  const read = unwrap(await readInventoryFromBmc(client));
  assert.deepEqual(factsOfBmc(read, { origin: 'https://10.1.2.3', tlsPin }), {
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
  const six = factsOfBmc(read, { origin: 'https://[fd00::1]:8443', tlsPin });
  assert.deepEqual([six.bmcHost, six.bmcPort], ['fd00::1', 8443]);
});

test('what a BMC does not tell is not stated; a model that names no generation neither', async (context) => {
  const { client } = await startMockBmc(context);
  const read = unwrap(await readInventoryFromBmc(client));
  for (const model of [undefined, 'ConnectX-7', 'BlueField-30']) {
    const facts = factsOfBmc(
      { ...read, model, psid: undefined },
      { origin: 'https://bmc', tlsPin },
    );
    assert.deepEqual(['model' in facts, 'psid' in facts], [false, false]);
  }
});
