import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { MOCK_ACCOUNT, MOCK_TLS } from '../../test/support/mock-bmc.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { dpuDraft, openState, START_SECONDS } from '../../test/support/state.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { systemClock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import type { DpuDraft, DpuHostBmc, DpuPairing } from '../rules/dpu.ts';
import { importDpu } from './facts.ts';
import { DpuInventory } from './inventory.ts';
import { createPairingReader, type FindPairing } from './pairing.ts';
import { PairingWatch } from './pairing-watch.ts';
import { NO_HOST } from './values.ts';

const HOST = { serial: 'H1', uuid: '6a2f41a3-c54c-fce8-32d2-0324e1c32e22', pf0Mac: '' };
const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;

const link = (path: string) => ({ '@odata.id': path });
const TREE: Readonly<Record<string, unknown>> = {
  '/redfish/v1/Systems': { Members: [link('/redfish/v1/Systems/1')] },
  '/redfish/v1/Systems/1': { Id: '1', SerialNumber: 'H1 ', UUID: HOST.uuid.toUpperCase() },
  '/redfish/v1/Chassis': { Members: [link('/redfish/v1/Chassis/1')] },
  '/redfish/v1/Chassis/1': { NetworkAdapters: link('/redfish/v1/Chassis/1/N') },
  '/redfish/v1/Chassis/1/N': { Members: [link('/redfish/v1/Chassis/1/N/1')] },
  '/redfish/v1/Chassis/1/N/1': {
    SerialNumber: 'A ',
    NetworkDeviceFunctions: link('/redfish/v1/Chassis/1/N/1/F'),
  },
  '/redfish/v1/Chassis/1/N/1/F': {
    Members: MACS.map((_, at) => link(`/redfish/v1/Chassis/1/N/1/F/${at}`)),
  },
  ...Object.fromEntries(
    MACS.map((mac, at) => [
      `/redfish/v1/Chassis/1/N/1/F/${at}`,
      { Ethernet: { PermanentMACAddress: mac } },
    ]),
  ),
};

/** The BMC of a host with the card A. */
async function hostBmc(context: TestContext): Promise<DpuHostBmc> {
  const server = createServer({ key: MOCK_TLS.key, cert: MOCK_TLS.cert }, (request, response) => {
    const body = TREE[request.url ?? ''];
    response.writeHead(body === undefined ? 404 : 200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(body ?? {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  // AddressInfo, since it listens on an address.
  const { port } = server.address() as AddressInfo;
  const tlsPin = MOCK_TLS.spkiSha256;
  return { host: '127.0.0.1', port, tlsPin };
}

function reader(context: TestContext): FindPairing {
  const folder = testFolder(context);
  const [userNamePath, passwordPath] = [join(folder, 'user'), join(folder, 'password')];
  writeFileSync(userNamePath, MOCK_ACCOUNT.userName, { mode: 0o600 });
  writeFileSync(passwordPath, MOCK_ACCOUNT.password, { mode: 0o600 });
  const account = { userNamePath, passwordPath, method: 'basic' } as const;
  return createPairingReader({ account, clock: systemClock, random: seededRandom(1) });
}

describe('the BMC of a host', () => {
  test('says where a card sits, with the MAC that the inventory knows, else the first', async (context) => {
    const find = reader(context);
    const bmc = await hostBmc(context);
    for (const [known, mac] of [
      ['', MACS[0]],
      [MACS[1], MACS[1]],
      ['02:00:00:00:00:09', MACS[0]],
    ] as const) {
      const host = { ...NO_HOST, pf0Mac: known };
      const { checkedAtSeconds: _, ...found } =
        assertValue(await find({ serial: 'A', host, hostBmc: bmc })) ?? assert.fail('nothing');
      assert.deepEqual(found, { ...HOST, pf0Mac: mac, source: 'host-bmc' });
    }
  });

  test('is not believed without its pin, nor when it does not know the card', async (context) => {
    const find = reader(context);
    const bmc = await hostBmc(context);
    const asked = (change: Partial<DpuHostBmc>, serial = 'A') =>
      find({ serial, host: NO_HOST, hostBmc: { ...bmc, ...change } });
    assertRefused(await asked({}, 'B'), 'DPU_HOST_CARD_ABSENT');
    assertRefused(await asked({ tlsPin: undefined }), 'DPU_BMC_UNKNOWN');
    assert.equal((await asked({ tlsPin: 'ab'.repeat(32) })).ok, false);
    assert.equal(
      assertValue(await find({ serial: 'A', host: NO_HOST, hostBmc: undefined })),
      undefined,
    );
  });
});

const PLACE = { host: 'bmc-h1', port: 443, tlsPin: 'ab'.repeat(32) };
const A = dpuDraft('A', { state: 'trusted', host: HOST, hostBmc: PLACE });

function found(extra: Partial<DpuPairing> = {}): Result<DpuPairing> {
  const checkedAtSeconds = START_SECONDS + 60;
  return ok({ ...HOST, pf0Mac: MACS[0], source: 'host-bmc', checkedAtSeconds, ...extra });
}

async function watched(context: TestContext, find: FindPairing, ...dpus: readonly DpuDraft[]) {
  const { registry, clock } = await openState(context);
  unwrap(await registry.writeDpus(dpus.map((dpu) => ({ dpu, expectedRevision: 0n }))));
  const inventory = new DpuInventory({ registry, clock, unreachableGraceSeconds: 100 });
  const faults: (readonly [string, ErrorCode])[] = [];
  const watch = new PairingWatch({
    registry,
    inventory,
    find,
    everyMs: 1000,
    clock,
    onFault: (serial, { code }) => faults.push([serial, code]),
  });
  context.after(() => watch.close());
  const get = (serial: string) => unwrap(inventory.find(serial));
  return { watch, faults, get, registry, inventory };
}

describe('the watch over pairings', () => {
  test('notes what was found, and what a BMC did not tell stays', async (context) => {
    const answers = [found(), found({ pf0Mac: '', checkedAtSeconds: START_SECONDS + 120 })];
    const { watch, get } = await watched(context, async () => answers.shift() ?? ok(undefined), A);
    await watch.round();
    assert.deepEqual(get('A').pairing, unwrap(found()));
    await watch.round();
    const { pf0Mac, checkedAtSeconds } = get('A').pairing ?? assert.fail('no pairing');
    assert.deepEqual([pf0Mac, checkedAtSeconds], [MACS[0], START_SECONDS + 120]);
  });

  test('puts a card out that turned up in another host, and the card of that host', async (context) => {
    const H2 = { ...HOST, serial: 'H2', uuid: '' };
    const B = dpuDraft('B', { state: 'trusted', host: H2 });
    const moved = found({ serial: 'H2', uuid: '' });
    const { watch, get, faults } = await watched(context, async () => moved, A, B);
    await watch.round();
    assert.deepEqual(faults, []);
    assert.deepEqual([get('A').state, get('B').state], ['quarantined', 'quarantined']);
    assert.equal(get('A').pairing, undefined);
  });

  test('concludes nothing from silence, and asks for no DPU that is out or has no host’s BMC', async (context) => {
    const asked: string[] = [];
    const { hostBmc: _, ...without } = A;
    const { watch, get, faults } = await watched(
      context,
      async ({ serial }) => {
        asked.push(serial);
        return fail('REDFISH_UNREACHABLE', 'no answer');
      },
      A,
      { ...without, serial: 'B' },
      { ...A, serial: 'C', state: 'quarantined' },
    );
    await watch.round();
    assert.deepEqual([asked, faults], [['A'], [['A', 'REDFISH_UNREACHABLE']]]);
    assert.equal(get('A').state, 'trusted');
  });

  test('writes nothing over another host that was imported meanwhile', async (context) => {
    const { registry, inventory, get } = await watched(context, async () => found(), A);
    const faults: ErrorCode[] = [];
    const watch = new PairingWatch({
      registry,
      // The import comes after it was seen that all is well.
      inventory: {
        async seen(serial, host) {
          const seen = await inventory.seen(serial, host);
          const { revision, ...dpu } = get(serial);
          const moved = { ...dpu, host: { ...HOST, serial: 'H9' } };
          unwrap(await registry.writeDpus([{ dpu: moved, expectedRevision: revision }]));
          return seen;
        },
        change: (serial, change) => inventory.change(serial, change),
      },
      find: async () => found(),
      everyMs: 1000,
      clock: systemClock,
      onFault: (_serial, { code }) => faults.push(code),
    });
    await watch.round();
    assert.deepEqual([get('A').pairing, faults], [undefined, ['STORE_CONFLICT']]);
  });
});

describe('an import', () => {
  test('states where the BMC of the host is, and forgets the pairing with another host', async () => {
    const stated = {
      serial: 'A',
      hostBmcHost: 'BMC-H1.example.org',
      hostBmcTlsPin: 'AB'.repeat(32),
      hostSerial: 'H1',
    };
    const first = unwrap(importDpu(stated, undefined, START_SECONDS)).dpu;
    assert.deepEqual(first.hostBmc, { ...PLACE, host: 'BMC-H1.example.org' });
    const pinned = { ...stated, hostBmcTlsPin: `spki-sha256:${'ab'.repeat(32)}` };
    assert.deepEqual(unwrap(importDpu(pinned, undefined, START_SECONDS)).dpu, first);
    const known = { ...first, pairing: unwrap(found()), revision: 1n };
    const again = unwrap(importDpu(stated, known, START_SECONDS));
    assert.deepEqual([again.outcome, again.dpu.pairing], ['unchanged', known.pairing]);
    const moved = unwrap(importDpu({ serial: 'A', hostSerial: 'H2' }, known, START_SECONDS));
    assert.deepEqual([moved.changed, moved.dpu.pairing], [['host'], undefined]);
    const cleared = unwrap(importDpu({ serial: 'A', hostBmcHost: '' }, known, START_SECONDS));
    assert.equal(cleared.dpu.hostBmc, undefined);
    for (const wrong of [
      { hostBmcHost: 'a b' },
      { hostBmcTlsPin: 'xx' },
      { hostBmcTlsPin: `cert-sha256:${'ab'.repeat(32)}` },
    ]) {
      assertRefused(importDpu({ serial: 'A', ...wrong }, known, START_SECONDS), 'DPU_INVALID');
    }
  });
});
