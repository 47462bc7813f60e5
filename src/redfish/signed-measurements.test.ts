import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startMockBmc } from '../../test/support/mock-bmc.ts';
import { unwrap } from '../base/result.ts';
import { collectSignedMeasurements } from './signed-measurements.ts';

const NONCE = new Uint8Array(32).fill(7);
const ASKED = { nonce: NONCE, slot: 0 };
const IROT = 'Bluefield_DPU_IRoT';

test('evidence of a component holds our nonce, its chain and the labels of the BMC', async (context) => {
  const { client } = await startMockBmc(context);
  const evidence = unwrap(await collectSignedMeasurements(client, IROT, ASKED));
  assert.equal(evidence.target, IROT);
  assert.ok(Buffer.from(evidence.signedMeasurements).includes(NONCE));
  assert.equal(evidence.certificateChainPem.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.equal(evidence.version, '1.1.0');
  assert.equal(evidence.bmcUuid, '00000000-0000-4000-8000-0000000000b1');
});
