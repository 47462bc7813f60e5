import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IROT_TARGET, manifestFor, TestCard } from '../../test/support/dpu.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { dpuDraft } from '../../test/support/state.ts';
import { systemRandom } from '../base/random.ts';
import { fail, ok } from '../base/result.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import { createDpuCollector } from './collect-dpu.ts';
import type { BmcLook } from './out-of-band.ts';
import type { FindPairing } from './pairing.ts';

const SERIAL = 'MT0000X00001';
const card = new TestCard(SERIAL);
const dpu = { ...dpuDraft(SERIAL), revision: 1n };

/** A collector over a look at the card, parts of which a test replaces. */
function collectorWith(look: Partial<BmcLook> = {}, findPairing?: FindPairing) {
  let closed = 0;
  const collector = createDpuCollector({
    openLook: async () =>
      ok({
        collect: async (target, nonce) => ok(await card.evidence(nonce, target)),
        serial: async () => ok(SERIAL),
        posture: async () => [],
        close: async () => {
          closed += 1;
        },
        ...look,
      }),
    targets: [IROT_TARGET],
    rules: () => ({ spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() }),
    manifestFor,
    findPairing,
    random: systemRandom,
  });
  return { collector, closed: () => closed };
}

test('brings the device key, and the values that the manifest calls the card’s own', async () => {
  const { collector, closed } = collectorWith();
  const { deviceIds, baseline } = assertValue(await collector.collect(dpu));
  assert.deepEqual(deviceIds, [card.deviceId]);
  assert.deepEqual(
    baseline.map(({ index }) => index),
    [7, 8, 9, 10],
  );
  assert.equal(closed(), 1);
});

test('a BMC that sits on another card pins nothing', async () => {
  const { collector, closed } = collectorWith({ serial: async () => ok('MT0000X00002') });
  assertRefused(await collector.collect(dpu), 'DPU_BMC_OTHER');
  assert.equal(closed(), 1);
});

test('evidence for another nonce, and a BMC that does not answer, pin nothing', async () => {
  const old = collectorWith({
    collect: async (target) => ok(await card.evidence(new Uint8Array(32), target)),
  });
  assertRefused(await old.collector.collect(dpu), 'SPDM_NONCE');
  const silent = collectorWith({ collect: async () => fail('REDFISH_UNREACHABLE', 'away') });
  assertRefused(await silent.collector.collect(dpu), 'REDFISH_UNREACHABLE');
  assert.deepEqual([old.closed(), silent.closed()], [1, 1]);
});

test('a host’s BMC has to agree on where the card sits, and to answer', async () => {
  const pairing = {
    ...{ serial: 'H2', uuid: '', pf0Mac: '' },
    ...{ source: 'host-bmc', checkedAtSeconds: 1 },
  };
  const inHost = (serial: string) => ({ ...dpu, host: { serial, uuid: '', pf0Mac: '' } });
  const { collector } = collectorWith({}, async () => ok(pairing));
  assert.deepEqual(assertValue(await collector.collect(inHost('H2'))).pairing, pairing);
  assert.deepEqual(assertValue(await collector.collect(inHost(''))).pairing, pairing);
  assertRefused(await collector.collect(inHost('H1')), 'DPU_MOVED');
  const silent = collectorWith({}, async () => fail('DPU_HOST_CARD_ABSENT', 'not listed'));
  assertRefused(await silent.collector.collect(dpu), 'DPU_HOST_CARD_ABSENT');
  const unasked = collectorWith({}, async () => ok(undefined));
  assert.equal(assertValue(await unasked.collector.collect(dpu)).pairing, undefined);
});
