import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeBootedDpu } from '../../test/support/dice.ts';
import { MOCK_ACCOUNT, MOCK_TLS, startMockBmc } from '../../test/support/mock-bmc.ts';
import { deviceTarget } from '../../test/support/mock-device.ts';
import { makeSpdmDevice } from '../../test/support/spdm-device.ts';
import { ManualClock, systemClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import { FleetGate } from '../redfish/fleet-gate.ts';
import { TargetTurns } from '../redfish/target-turns.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import type { SpdmVersion } from '../spdm/version.ts';
import { collectAll, gatedLooks } from './collector.ts';
import { verifyEvidence } from './evidence.ts';
import { type BmcLook, openBmcLook } from './out-of-band.ts';

const codeOf = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const dpu = (serial: string) => ({ serial, bmc: undefined });

/** Looks that collect what they are told, and are counted. */
function fakeLooks() {
  const state = { open: 0, most: 0, closed: 0 };
  const answers = new Map<string, Result<never>>();
  const look: BmcLook = {
    collect: async (target) =>
      answers.get(target) ?? ok({ target, messages: new Uint8Array(), certificates: [] }),
    serial: async () => ok('MT1'),
    posture: async () => ['mode:dpu'],
    close: async () => {
      state.open -= 1;
      state.closed += 1;
    },
  };
  const open = async (): Promise<Result<BmcLook>> => {
    state.open += 1;
    state.most = Math.max(state.most, state.open);
    return ok(look);
  };
  return { state, answers, open };
}

function gated(open: () => Promise<Result<BmcLook>>, clock = new ManualClock(0)) {
  const metrics = createMetrics('test');
  const gate = new FleetGate({ clock, metrics, limits: { concurrent: 2 } });
  return { clock, metrics, open: gatedLooks({ gate, clock, waitMs: 1_000 }, open) };
}

test('a place is held from the opening of a look until it is closed', async () => {
  const { state, open } = fakeLooks();
  const looks = gated(open);
  const [one, two] = await Promise.all([looks.open(dpu('a')), looks.open(dpu('b'))]);
  const third = looks.open(dpu('c'));
  await new Promise(setImmediate);
  assert.equal(state.open, 2);
  await unwrap(one).close();
  await unwrap(await third).close();
  await unwrap(two).close();
  assert.deepEqual(state, { open: 0, most: 2, closed: 3 });
});

test('two looks at one DPU are one after the other', async () => {
  const { state, open } = fakeLooks();
  const looks = gated(open);
  const first = unwrap(await looks.open(dpu('a')));
  const second = looks.open(dpu('a'));
  await new Promise(setImmediate);
  assert.equal(state.open, 1);
  await first.close();
  await unwrap(await second).close();
  assert.equal(state.most, 1);
});

test('a look that does not come to its turn in time is REDFISH_QUEUE_FULL; one that did may take longer', async () => {
  const { open } = fakeLooks();
  const looks = gated(open);
  const first = unwrap(await looks.open(dpu('a')));
  const second = looks.open(dpu('a'));
  looks.clock.advance(1_000);
  assert.equal(codeOf(await second), 'REDFISH_QUEUE_FULL');
  assert.equal(codeOf(await first.collect('x', new Uint8Array(32), 0)), 'ok');
  await first.close();
});

test('a look that cannot be opened gives its place back', async () => {
  let opened = 0;
  const looks = gated(async () => {
    opened += 1;
    if (opened === 3) throw new TypeError('planted');
    return fail('REDFISH_SETTINGS', 'planted');
  });
  assert.equal(codeOf(await looks.open(dpu('a'))), 'REDFISH_SETTINGS');
  assert.equal(codeOf(await looks.open(dpu('a'))), 'REDFISH_SETTINGS');
  await assert.rejects(looks.open(dpu('a')), TypeError);
  assert.equal(codeOf(await looks.open(dpu('a'))), 'REDFISH_SETTINGS');
});

test('a refused account is remembered, and the failure of a look is counted by its code', async () => {
  const { answers, open } = fakeLooks();
  const looks = gated(open);
  answers.set('x', fail('REDFISH_UNAUTHENTICATED', 'planted'));
  const look = unwrap(await looks.open(dpu('a')));
  assert.equal(codeOf(await look.collect('x', new Uint8Array(32), 0)), 'REDFISH_UNAUTHENTICATED');
  await look.close();
  assert.equal(codeOf(await looks.open(dpu('a'))), 'REDFISH_UNAUTHENTICATED');
  const text = await looks.metrics.registry.metrics();
  assert.match(text, /looks_total\{code="REDFISH_UNAUTHENTICATED"\} 1/);
});

test('what is missing of one component is missing of all', async () => {
  const { answers, open } = fakeLooks();
  const look = unwrap(await open());
  const want = (target: string) => ({ target, nonce: new Uint8Array(32), slot: 0 });
  const all = unwrap(await collectAll(look, [want('x'), want('y')]));
  assert.deepEqual(
    all.map(({ target }) => target),
    ['x', 'y'],
  );
  answers.set('y', fail('REDFISH_FAULT', 'planted'));
  assert.equal(codeOf(await collectAll(look, [want('x'), want('y')])), 'REDFISH_FAULT');
});

const folder = mkdtempSync(join(tmpdir(), 'signet-look-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'user'), MOCK_ACCOUNT.userName);
writeFileSync(join(folder, 'password'), MOCK_ACCOUNT.password);
const account = { userNamePath: join(folder, 'user'), passwordPath: join(folder, 'password') };

for (const version of ['1.1', '1.2', '1.3'] satisfies readonly SpdmVersion[]) {
  test(`SPDM ${version}: evidence of a device, collected over Redfish, verifies; with another nonce it does not`, async (context) => {
    const boot = makeBootedDpu();
    const device = makeSpdmDevice({ boot });
    const target = deviceTarget('Bluefield_DPU_IRoT', () => device, version);
    const { origin } = await startMockBmc(context, { targets: { Bluefield_DPU_IRoT: target } });
    const { hostname, port } = new URL(origin);
    const bmc = {
      host: hostname,
      port: Number(port),
      tlsPin: MOCK_TLS.spkiSha256,
      uuid: '',
      mac: '',
    };
    const shared = { clock: systemClock, random: seededRandom(1), turns: new TargetTurns() };
    const look = unwrap(await openBmcLook({ account, ...shared }, { serial: 'MT1', bmc }));
    context.after(() => look.close());
    const nonce = new Uint8Array(32).fill(7);
    const wanted = [{ target: 'Bluefield_DPU_IRoT', nonce, slot: 0 }];
    const [shown] = unwrap(await collectAll(look, wanted));
    assert.ok(shown);
    const { deviceClass } = boot.device.classCa;
    const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() };
    const verified = unwrap(verifyEvidence(shown, { id: shown.target, deviceClass }, nonce, rules));
    assert.equal(verified.measurements.version, version);
    assert.equal(verified.measurements.blocks.length, 11);
    const other = new Uint8Array(32).fill(8);
    assert.ok(!verifyEvidence(shown, { id: shown.target, deviceClass }, other, rules).ok);
    assert.deepEqual(await look.posture(), [
      'mode:dpu',
      'host-privilege:restricted',
      'host-rshim:off',
      'secure-boot:on',
    ]);
  });
}
