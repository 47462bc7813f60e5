import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crlOf } from '../../../test/support/crl.ts';
import { DPU_CLASS, mockTarget, TestCard } from '../../../test/support/dpu.ts';
import { setUpWatch } from '../../../test/support/dpu-watch.ts';
import {
  block,
  IROT,
  manifestWith,
  measuredBlocks,
  sha512,
  writtenRelease,
} from '../../../test/support/manifest.ts';
import { soon } from '../../../test/support/processes.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { unwrap } from '../../base/result.ts';
import { readDeviceCrl } from '../../dice/device-revocation.ts';

type SetUp = Awaited<ReturnType<typeof setUpWatch>>;

const INTERVAL_MS = 600_000;
const PERIODIC = { intervalMs: INTERVAL_MS };
const SECOND = { secondLook: true };

/** How many looks ended so. */
async function looks({ metrics }: SetUp, outcome: string): Promise<number> {
  const text = await metrics.registry.metrics();
  const line = new RegExp(`^test_dpu_looks_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm').exec(
    text,
  );
  return Number(line?.[1] ?? 0);
}

/** Moves time until looks have ended so often in this way. */
async function untilLooks(state: SetUp, outcome: string, count: number): Promise<void> {
  await soon(async () => {
    if ((await looks(state, outcome)) >= count) return true;
    state.clock.advance(10_000);
    return false;
  });
}

/** Index 11 is in no manifest: only a comparison with the last attestation sees it. */
const otherValue = [
  ...measuredBlocks('r2').filter(({ index }) => index !== 11),
  block(11, sha512('something else')),
];

describe('looks that nobody asks for', () => {
  it('come once in each interval, and write nothing while all is well', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    state.watch.start();
    const { revision } = state.now();
    state.clock.advance(INTERVAL_MS);
    await soon(async () => (await looks(state, 'same')) === 1);
    state.clock.advance(INTERVAL_MS - 1);
    assert.equal(state.opened(), 1);
    await soon(async () => {
      state.clock.advance(1);
      return (await looks(state, 'same')) === 2;
    });
    assert.equal(state.now().revision, revision);
    assert.equal(state.opened(), 2);
  });

  it('put a card out at once whose firmware nobody allowed', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    state.watch.start();
    state.card.state.release = 'unknown';
    state.card.reboot();
    await untilLooks(state, 'against', 1);
    await soon(async () => state.now().assessment?.code === 'MEASUREMENT_MISMATCH');
    assert.equal(state.now().state, 'quarantined');
  });

  it('put a card out that shows another value in the boot that it attested in', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    state.card.state.measurements = otherValue;
    assertRefused(await state.watch.lookNow(state.serial), 'DPU_RELAYED');
    assert.equal(state.now().state, 'quarantined');
  });

  it('put a card out behind whose BMC another card answers', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    const other = new TestCard('MT0000X00002');
    Object.assign(state.card, { evidence: other.evidence.bind(other) });
    Object.defineProperty(state.card, 'boot', { get: () => other.boot });
    assert.notEqual(mockTarget(state.card).chainPem(), '');
    assertRefused(await state.watch.lookNow(state.serial), 'DPU_KEY_UNKNOWN');
    assert.equal(state.now().state, 'quarantined');
  });

  it('give the grace to a card whose BMC shows another TLS key, and put it out after it', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    const { bmc } = state.now();
    assert.ok(bmc !== undefined);
    unwrap(
      await state.inventory.change(state.serial, ({ revision: _revision, ...draft }) => ({
        ok: true,
        value: { ...draft, bmc: { ...bmc, tlsPin: 'ab'.repeat(32) } },
      })),
    );
    assertRefused(await state.watch.lookNow(state.serial), 'REDFISH_PIN_MISMATCH');
    assert.equal(state.now().state, 'degraded', 'it may be anybody on the wire');
    state.clock.advance(101_000);
    assert.equal(await state.inventory.sweep(), 1);
  });

  it('have the agent of a card that started anew attest in full, and ask for that once', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    state.card.reboot();
    assert.equal(assertValue(await state.watch.lookNow(state.serial)).compared, 'rebooted');
    const { state: standing, attestDemand, revision } = state.now();
    assert.equal(standing, 'trusted');
    assert.match(attestDemand?.reason ?? '', /started anew/);
    assertValue(await state.watch.lookNow(state.serial));
    assert.equal(state.now().revision, revision);
    await state.attest();
    assert.equal(assertValue(await state.watch.lookNow(state.serial)).compared, 'same');
    assert.equal(state.now().attestDemand, undefined);
  });

  it('take silence for silence: the grace begins, and ends with an answer', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    state.mock.decide = () => 'reset';
    assertRefused(await state.watch.lookNow(state.serial), 'REDFISH_UNREACHABLE');
    assert.equal(state.now().state, 'degraded');
    state.mock.decide = () => undefined;
    await untilLooks(state, 'same', 1);
    await soon(async () => state.now().state === 'trusted');
    assert.equal(state.now().unreachableSinceSeconds, 0);
  });

  it('are for a silent BMC though no interval is set: one that is back is not put out', async (context) => {
    const state = await setUpWatch(context);
    state.watch.start();
    // As an attestation of its agent notes it, which may not come again.
    assertValue(await state.inventory.unreachable(state.serial, 'no answer'));
    assert.equal(state.now().state, 'degraded');
    await untilLooks(state, 'same', 1);
    await soon(async () => state.now().state === 'trusted');
    assert.equal(state.now().unreachableSinceSeconds, 0);
    const opened = state.opened();
    state.clock.advance(INTERVAL_MS);
    assert.equal(state.opened(), opened, 'and none after that');
  });

  it('lead to quarantine where the silence outlasts the grace', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    state.mock.decide = () => 'reset';
    await state.watch.lookNow(state.serial);
    state.clock.advance(99_000);
    assert.equal(await state.inventory.sweep(), 0);
    state.clock.advance(2_000);
    assert.equal(await state.inventory.sweep(), 1);
  });

  it('hold nothing against a card when the account is refused', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    state.mock.decide = () => ({ status: 401 });
    assertRefused(await state.watch.lookNow(state.serial), 'REDFISH_UNAUTHENTICATED');
    assert.equal(await looks(state, 'own'), 1);
    assert.deepEqual([state.now().state, state.now().unreachableSinceSeconds], ['trusted', 0]);
  });

  it('leave cards of other zones alone, and those without a known BMC', async (context) => {
    for (const dpu of [{ zone: 2 }, { bmc: undefined }, { deviceIds: [] }]) {
      const state = await setUpWatch(context, { settings: { ...PERIODIC, zones: [0, 1] }, dpu });
      state.watch.start();
      for (let hours = 0; hours < 3; hours++) state.clock.advance(3_600_000);
      assert.equal(state.opened(), 0);
    }
  });

  it('begin for a card that comes later, and end for one that is out', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC, dpu: { bmc: undefined } });
    const { bmc } = (await setUpWatch(context)).now();
    state.watch.start();
    state.clock.advance(INTERVAL_MS);
    assert.equal(state.opened(), 0);
    await state.inventory.change(state.serial, ({ revision: _revision, ...draft }) => ({
      ok: true,
      value: { ...draft, bmc },
    }));
    await soon(async () => {
      state.clock.advance(INTERVAL_MS);
      return state.opened() > 0;
    });
    unwrap(await state.inventory.quarantine(state.serial, { reason: 'test' }));
    await state.watch.close();
    const before = state.opened();
    state.clock.advance(10 * INTERVAL_MS);
    assert.equal(state.opened(), before);
  });

  it('are one at a time for each card, whoever asks', async (context) => {
    const state = await setUpWatch(context, { settings: PERIODIC });
    const asked = [1, 2, 3].map(() => state.watch.lookNow(state.serial));
    for (const look of await Promise.all(asked)) assertValue(look);
    assert.equal(state.mock.measurements.begun.get(IROT), 3);
    assert.equal(state.mock.measurements.refused, 0);
  });
});

describe('the second look, after the SVID', () => {
  it('raises agent and DPU to dual where it agrees, with what the BMC claims', async (context) => {
    const state = await setUpWatch(context, { settings: SECOND, binding: 'in-band' });
    assert.equal(state.agent()?.assurance?.binding, 'in-band');
    state.watch.start();
    await untilLooks(state, 'same', 1);
    await soon(async () => state.now().assessment?.binding === 'dual');
    const { assurance, selectors, serial } = state.agent() ?? {};
    assert.deepEqual([assurance?.binding, assurance?.release, serial], ['dual', 'r2', '1']);
    const values = selectors?.map(({ value }) => value) ?? [];
    for (const wanted of ['binding:dual', 'mode:dpu', 'rim:r2']) assert.ok(values.includes(wanted));
    assert.ok(!values.includes('binding:in-band'));
    assert.equal(state.now().assessment?.posture.mode, 'dpu');
    state.clock.advance(3_600_000);
    assert.equal(state.opened(), 1);
  });

  it('is not taken where both agreed before the SVID, nor where it is not wanted', async (context) => {
    for (const options of [
      { settings: SECOND, binding: 'dual' },
      { settings: {}, binding: 'in-band' },
    ] as const) {
      const state = await setUpWatch(context, options);
      state.watch.start();
      for (let at = 0; at < 10; at++) state.clock.advance(1_000);
      assert.equal(state.opened(), 0);
    }
  });

  it('puts the DPU out at once where it contradicts', async (context) => {
    const state = await setUpWatch(context, { settings: SECOND, binding: 'in-band' });
    state.card.state.measurements = otherValue;
    state.watch.start();
    await untilLooks(state, 'against', 1);
    await soon(async () => state.now().assessment?.code === 'DPU_RELAYED');
    assert.equal(state.now().state, 'quarantined');
    assert.equal(state.agent()?.assurance?.binding, 'in-band');
  });

  it('waits for a silent BMC within the grace, and is taken again', async (context) => {
    const state = await setUpWatch(context, { settings: SECOND, binding: 'in-band' });
    state.mock.decide = () => 'reset';
    state.watch.start();
    await untilLooks(state, 'silence', 1);
    await soon(async () => state.now().state === 'degraded');
    assert.equal(state.agent()?.assurance?.binding, 'in-band');
    state.mock.decide = () => undefined;
    await untilLooks(state, 'same', 1);
    await soon(async () => state.now().assessment?.binding === 'dual');
    assert.deepEqual([state.now().state, state.agent()?.assurance?.binding], ['trusted', 'dual']);
  });

  it('raises nothing for another boot than it saw: that one attests anew', async (context) => {
    const state = await setUpWatch(context, { settings: SECOND, binding: 'in-band' });
    state.card.reboot();
    assert.equal(assertValue(await state.watch.lookNow(state.serial)).compared, 'rebooted');
    assert.equal(state.agent()?.assurance?.binding, 'in-band');
    assert.notEqual(state.now().attestDemand, undefined);
  });
});

describe('other manifests and CRLs', () => {
  const releases = (...ids: readonly string[]) =>
    manifestWith({
      deviceClass: DPU_CLASS.name,
      releases: ids.map((name, at) => writtenRelease(name, at + 1)),
      minimumRelease: ids[0],
    });
  const all = { targets: new Set([IROT]), crls: false };

  it('put out at once who no longer matches, without asking anybody', async (context) => {
    const state = await setUpWatch(context);
    state.rules.manifests = () => releases('r3');
    await state.watch.reconsider(all);
    assert.equal(state.now().state, 'quarantined');
    assert.equal(state.now().assessment?.code, 'MEASUREMENT_MISMATCH');
    assert.equal(state.opened(), 0);
  });

  it('leave alone who matches as before, and whom they are not about', async (context) => {
    const state = await setUpWatch(context);
    const { revision } = state.now();
    state.rules.manifests = () => releases('r2', 'r3');
    await state.watch.reconsider(all);
    state.rules.manifests = () => releases('r3');
    await state.watch.reconsider({ targets: new Set(['Bluefield_ERoT']), crls: false });
    state.clock.advance(120_000);
    assert.equal(state.now().revision, revision);
  });

  it('have those attest again, spread over time, of whom too little is kept', async (context) => {
    const state = await setUpWatch(context);
    state.rules.manifests = () => undefined;
    await state.watch.reconsider(all);
    assert.equal(state.now().attestDemand, undefined);
    state.clock.advance(60_000);
    await soon(async () => state.now().attestDemand?.reason === 'other manifests');
    assert.equal(state.now().state, 'trusted');
  });

  it('are noticed at the start, where they changed while no server ran', async (context) => {
    const state = await setUpWatch(context);
    state.rules.manifests = () => releases('r3');
    state.watch.start();
    await soon(async () => state.now().state === 'quarantined');
  });

  it('have cards looked at for new CRLs, as chains are not kept', async (context) => {
    const state = await setUpWatch(context);
    await state.watch.reconsider({ targets: new Set(), crls: true });
    state.clock.advance(60_000);
    await soon(async () => (await looks(state, 'same')) === 1);
    assert.equal(state.now().attestDemand, undefined);
  });

  it('put a card out that its vendor revoked, by the look that follows a new CRL', async (context) => {
    const state = await setUpWatch(context);
    const { certificate, classCa } = state.card.device;
    state.rules.revocation = {
      crls: [assertValue(readDeviceCrl(crlOf(classCa.provisioner, certificate)))],
      maxStaleMs: 1e13,
    };
    await state.watch.reconsider({ targets: new Set(), crls: true });
    state.clock.advance(60_000);
    await soon(async () => state.now().assessment?.code === 'DEVICE_REVOKED');
    assert.equal(state.now().state, 'quarantined');
  });

  it('hold nothing against cards where the CRL is not in force', async (context) => {
    const state = await setUpWatch(context);
    const { classCa } = state.card.device;
    const crls = [assertValue(readDeviceCrl(crlOf(classCa.provisioner)))];
    state.rules.revocation = { crls, maxStaleMs: 0 };
    assertRefused(await state.watch.lookNow(state.serial), 'DEVICE_REVOCATION_UNKNOWN');
    assert.equal(state.now().state, 'trusted');
  });

  it('have agents attest again for new CRLs where no BMC is known', async (context) => {
    const state = await setUpWatch(context, { dpu: { bmc: undefined } });
    await state.watch.reconsider({ targets: new Set(), crls: true });
    state.clock.advance(60_000);
    await soon(async () => state.now().attestDemand?.reason === 'other revocation lists');
  });
});
