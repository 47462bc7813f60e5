import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { ERRORS } from '../../src/base/errors.ts';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { VendorAdminService, VendorKeysService } from '../../src/gen/signet/connector/v1/vendor.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { plainSettings } from '../support/companion-rig.ts';
import { runCompanion } from '../support/companion-server.ts';
import type { PeerIdentity } from '../support/connector-peer.ts';
import { ConnectorRig } from '../support/connector-rig.ts';
import { freePort, soon } from '../support/processes.ts';
import { ask, assertStatus } from '../support/server.ts';
import { testFolder } from '../support/workload-api.ts';

// The provisioning key of a vendor on its way: operator, server process, companion, App Connector.

const KEY = '3|api.private.example.com|bm90IGEga2V5';
const WORKLOAD = 'spiffe://example.org/edge/proxy';

let rig: ConnectorRig;
let telemetry: number;

before(async () => {
  telemetry = await freePort();
  rig = await ConnectorRig.start({
    serverOnly: false,
    serverYaml: `telemetry: { port: ${telemetry} }`,
  });
  await rig.fleet.register('/edge/proxy');
  for (const name of ['berlin', 'hamburg']) {
    await rig.putGroup({ ...ATTESTED, name });
  }
});

after(() => rig?.stop());

const ATTESTED = {
  name: 'berlin',
  proofs: ['x509-svid'],
  spiffeIds: [WORKLOAD],
  requireAttestedNode: true,
};

/** Gives the server a key, as an operator does. */
async function giveKey(group: string, maxUses: number, used = 0): Promise<void> {
  const path = join(rig.fleet.dir, 'vendor-key');
  writeFileSync(path, `${KEY}\n`);
  const numbers = ['--max-uses', `${maxUses}`, '--used', `${used}`];
  const set = ['vendor-key', 'set', '--group', group, ...numbers, '-f', path];
  const { code, stderr } = await rig.fleet.cli('connector', ...set);
  assert.equal(code, 0, stderr);
}

async function usesOf(group: string): Promise<number | undefined> {
  const { keys } = await ask(rig.admin(), VendorAdminService.listVendorKeys, {});
  return keys.find((key) => key.group === group)?.uses;
}

/** A pod: a companion of the attested node beside an App Connector. */
async function pod(context: TestContext, more: object = {}) {
  const folder = testFolder(context);
  const at = (name: string): string => join(folder, name);
  mkdirSync(at('var'));
  writeFileSync(at('zpa.log'), 'starting\n');
  const settings = {
    ...plainSettings(folder, rig.port),
    group: 'berlin',
    bootstrap: {},
    workloadApi: { socket: rig.fleet.workloadSocket },
    enrol: { method: 'x509-svid', spiffeId: WORKLOAD },
    zpa: {
      logPath: at('zpa.log'),
      provisioningKey: { path: at('var/provision_key'), stateDir: at('var') },
    },
    ...more,
  };
  const logPath = at('log');
  const start = () => {
    const log = createLogger({ level: 'info', fd: openSync(logPath, 'a') });
    return runCompanion(context, { folder, settings }, { log });
  };
  const companion = await start();
  await soon(async () => companion.health.report('ready').ok);
  return {
    companion,
    start,
    folder,
    keyPath: at('var/provision_key'),
    log: () => readFileSync(logPath, 'utf8'),
    /** Asks for the key over the companion's SVID, as it does itself. */
    ask: () => ask(rig.client(shownBy(folder)), VendorKeysService.getVendorKey, {}),
  };
}

/** What a companion wrote for its connector. */
function shownBy(folder: string): PeerIdentity {
  const read = (name: string): string => readFileSync(join(folder, 'out', name), 'utf8');
  return { key: read('tls.key'), cert: read('tls.crt') };
}

const ENROLLED = `-------- Connector Status:ID=1234:Name=berlin-1:Ver=24.1.2 --------
Certificate will expire in 100 days, 0 hours, 0 minutes, 0 seconds
Control connection state: fohh_connection_connected, [10.0.0.1]:1;b.example:[10.0.0.2]:443
`;

test('an operator’s key comes to the App Connector of each attested companion, one use each, until the last', async (context) => {
  await giveKey('berlin', 5, 2);
  const first = await pod(context);
  await soon(async () => existsSync(first.keyPath));
  assert.equal(readFileSync(first.keyPath, 'utf8'), `${KEY}\n`);
  assert.equal(await usesOf('berlin'), 3);
  assert.doesNotMatch(first.log(), /"level":"error"/, 'it asks when it has enrolled');

  // Neither a restart nor a volume that is lost is another use: it is the same connector.
  await first.companion.stop('restart');
  rmSync(first.keyPath);
  await first.start();
  await soon(async () => existsSync(first.keyPath));
  assert.equal(await usesOf('berlin'), 3);
  assert.doesNotMatch(rig.fleet.log('server'), /nearly used up/);
  writeFileSync(join(first.folder, 'zpa.log'), ENROLLED, { flag: 'a' });

  const second = await pod(context);
  await soon(async () => existsSync(second.keyPath));
  assert.equal(await usesOf('berlin'), 4);
  const warned = rig.fleet.log('server').match(/^.*a vendor key is nearly used up.*$/gm) ?? [];
  assert.equal(warned.length, 1);
  assert.match(warned[0] ?? '', /"uses":4,"maxUses":5/);
  const page = await (await fetch(`http://127.0.0.1:${telemetry}/metrics`)).text();
  assert.match(page, /^signet_server_vendor_key_uses_ratio\{group="berlin"\} 0\.8$/m);

  const third = await pod(context);
  await soon(async () => existsSync(third.keyPath));
  const fourth = await pod(context);
  await soon(async () => rig.fleet.log('server').includes('a vendor key is used up'));
  await soon(async () => fourth.log().includes('gets no provisioning key yet'));
  assert.ok(fourth.log().includes(`"action":"${ERRORS.VENDOR_KEY_EXHAUSTED.action}"`));
  await assertStatus(fourth.ask(), 'VENDOR_KEY_EXHAUSTED');
  assert.equal((await second.ask()).key, KEY);
  assert.deepEqual(readdirSync(join(fourth.folder, 'var')), []);
  assert.equal(await usesOf('berlin'), 5);
  assert.ok(!rig.fleet.log('server').includes(KEY));

  // Its log says that it has enrolled: the key is of no more use there.
  await soon(async () => !existsSync(first.keyPath));
});

test('who is of another group, on no attested node, revoked, or on a node that is out gets none', async (context) => {
  const loose = { ...ATTESTED, name: 'munich', proofs: ['x509-svid', 'provisioning-key'] };
  await rig.putGroup({ ...loose, requireAttestedNode: false });
  await giveKey('munich', 10);
  const other = await pod(context, { group: 'hamburg' });
  await assertStatus(other.ask(), 'VENDOR_KEY_NONE');

  const keyPath = join(other.folder, 'key');
  writeFileSync(keyPath, await rig.createKey({ group: 'munich' }));
  const enrol = { method: 'provisioning-key', keyPath };
  const byKey = await pod(context, { group: 'munich', enrol });
  await soon(async () => existsSync(byKey.keyPath));
  await rig.putGroup(loose);
  await assertStatus(byKey.ask(), 'CONNECTOR_NODE_NOT_ATTESTED');
  await rig.putGroup({ ...loose, proofs: ['x509-svid'], requireAttestedNode: false });
  await assertStatus(byKey.ask(), 'VENDOR_KEY_DENIED');

  for (const nobody of [undefined, await rig.mint('/edge/proxy')]) {
    const call = ask(rig.client(nobody), VendorKeysService.getVendorKey, {});
    await assertStatus(call, 'CALLER_NOT_ALLOWED');
  }

  const shown = shownBy(byKey.folder);
  const which = { ids: [], group: 'munich' };
  await ask(rig.admin(), ConnectorAdminService.revokeConnectors, { which, reason: 'stolen' });
  assert.equal((await byKey.companion.ended).code, 'COMPANION_REVOKED');
  const stolen = ask(rig.client(shown), VendorKeysService.getVendorKey, {});
  await assertStatus(stolen, 'CONNECTOR_REVOKED');

  await giveKey('hamburg', 10);
  assert.equal((await other.ask()).uses, 1);
  const banned = await rig.fleet.cli('agent', 'ban', '--spiffe-id', await rig.fleet.agentId());
  assert.equal(banned.code, 0, banned.stderr);
  await assertStatus(other.ask(), 'CONNECTOR_NODE');
  assert.deepEqual([await usesOf('munich'), await usesOf('hamburg')], [1, 1]);
});
