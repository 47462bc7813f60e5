import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import { openBoundKey } from '../../agent/connector/bound-key.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { belongTogether, local } from '../support/companion.ts';
import { CompanionRig } from '../support/companion-rig.ts';
import { runCompanion, testSegment } from '../support/companion-server.ts';
import { SIGNET } from '../support/dev.ts';
import { soon, stopChild } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { ask } from '../support/server.ts';

// A companion and our own server, over the wire.

const {
  commandConnectors,
  drainConnectors,
  listProvisioningKeys,
  registerBoundKey,
  revokeConnectors,
} = ConnectorAdminService;

function serialIn(folder: string): bigint {
  const { serialNumber } = new X509Certificate(readFileSync(join(folder, 'out', 'tls.crt')));
  return BigInt(`0x${serialNumber}`);
}

async function usesOf(rig: CompanionRig): Promise<number | undefined> {
  const request = { group: 'edge', pageSize: 0, pageToken: '' };
  const { keys } = await ask(rig.server.admin(), listProvisioningKeys, request);
  return keys[0]?.uses;
}

test('a connector enrols, gets its segments and their changes, and is seen by operators', async (context) => {
  const rig = await CompanionRig.start(context);
  await rig.putSegment(testSegment('a'));
  const settings = await rig.settings();
  const companion = await runCompanion(context, { folder: rig.folder, settings });
  await soon(async () => companion.health.report('ready').ok);
  const shown = await rig.only('active');
  assert.equal(shown.proof, 'provisioning-key');
  assert.equal(BigInt(shown.serialNumber), serialIn(rig.folder));
  const file = () => JSON.parse(readFileSync(join(rig.folder, 'segments.json'), 'utf8'));
  const ids = () => file().segments.map(({ id }: { id: string }) => id);
  await soon(async () => existsSync(join(rig.folder, 'segments.json')) && ids().includes('a'));
  await rig.putSegment(testSegment('b'));
  await soon(async () => ids().includes('b'));
  assert.deepEqual(ids(), ['a', 'b']);
});

test('a renewal that operators ask for changes the files, and a restart goes on with it', async (context) => {
  const rig = await CompanionRig.start(context);
  const settings = await rig.settings();
  const first = await runCompanion(context, { folder: rig.folder, settings });
  await soon(async () => first.health.report('ready').ok);
  await rig.only('active');
  const before = serialIn(rig.folder);
  const command = {
    nonce: Buffer.alloc(0),
    kind: { $case: 'renewNow', value: { reason: 'asked for' } },
  } as const;
  await ask(rig.server.admin(), commandConnectors, { which: rig.all, command });
  await soon(async () => serialIn(rig.folder) !== before);
  assert.ok(belongTogether(rig.folder));
  const renewed = serialIn(rig.folder);
  await soon(async () => {
    const shown = await rig.only('active');
    return BigInt(shown.serialNumber) === renewed;
  });
  await first.stop('restart');
  await runCompanion(context, { folder: rig.folder, settings });
  await rig.only('active');
  assert.equal(serialIn(rig.folder), renewed);
  assert.equal(await usesOf(rig), 1);
});

test('a revocation reaches the files', async (context) => {
  const rig = await CompanionRig.start(context);
  const settings = await rig.settings();
  const companion = await runCompanion(context, { folder: rig.folder, settings });
  await soon(async () => companion.health.report('ready').ok);
  await rig.only('active');
  await ask(rig.server.admin(), revokeConnectors, { which: rig.all, reason: 'stolen' });
  assert.equal((await companion.ended).code, 'COMPANION_REVOKED');
  assert.equal(existsSync(join(rig.folder, 'out', 'tls.key')), false);
  await rig.only('revoked');
});

test('drained by operators it says Goodbye; started again it comes back without another use', async (context) => {
  const rig = await CompanionRig.start(context);
  const settings = await rig.settings();
  const first = await runCompanion(context, { folder: rig.folder, settings });
  const { id } = await rig.only('active');
  const drain = { which: rig.all, withinSeconds: 60, reason: 'maintenance' };
  await ask(rig.server.admin(), drainConnectors, drain);
  await rig.only('stopped');
  assert.equal(first.health.report('ready').ok, false);
  await first.stop('restart');
  await runCompanion(context, { folder: rig.folder, settings });
  const back = await rig.only('active');
  assert.equal(back.id, id);
  assert.equal(await usesOf(rig), 1);
});

test('while the server is away it goes on, and comes back by itself', async (context) => {
  const rig = await CompanionRig.start(context);
  await rig.putSegment(testSegment('a'));
  const settings = await rig.settings();
  const companion = await runCompanion(context, { folder: rig.folder, settings });
  await soon(async () => companion.health.report('ready').ok);
  const { id } = await rig.only('active');
  await rig.server.halt();
  await soon(async () => (await local(rig.folder, '/status')).body.sessionUp === false);
  assert.ok(companion.health.report('ready').ok);
  assert.equal((await local(rig.folder, '/segments')).status, 200);
  await rig.server.restart();
  assert.equal((await rig.only('active')).id, id);
});

test('a bound key enrols, and recovers what lost its certificate', async (context) => {
  const rig = await CompanionRig.start(context);
  const settings = await rig.settings(1, { enrol: { method: 'bound-key' } });
  const path = join(rig.folder, 'data', 'bound-key.pem');
  const key = assertValue(await openBoundKey(path, true));
  await ask(rig.server.admin(), registerBoundKey, {
    group: 'edge',
    publicKey: Buffer.from(key.publicKeySpki),
    connectorId: 'rack-7',
    maxRecoveries: 3,
    description: '',
  });
  const first = await runCompanion(context, { folder: rig.folder, settings });
  assert.equal((await rig.only('active')).id, 'rack-7');
  await first.leave();
  await first.stop('restart');
  await rig.only('stopped');
  await runCompanion(context, { folder: rig.folder, settings });
  assert.equal((await rig.only('active')).id, 'rack-7');
});

/** Runs the program with the settings of the rig. */
function program(context: TestContext, rig: CompanionRig, settings: object): ChildProcess {
  const path = join(rig.folder, 'connector.yaml');
  writeFileSync(path, stringify(settings));
  const child = spawn(SIGNET, ['connector', 'run', '--config', path], { stdio: 'ignore' });
  context.after(() => stopChild(child, 'SIGKILL'));
  return child;
}

test('killed at any moment of its enrolment and started again it takes one use', async (context) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const rig = await CompanionRig.start(context);
  const settings = await rig.settings(1);
  for (let round = 0; round < 2; round++) {
    const child = program(context, rig, settings);
    const [delay = 0] = random.bytes(1);
    // A moment of the start: from before its state is opened until after the session is up.
    await new Promise((resolve) => setTimeout(resolve, 250 + delay * 3));
    await stopChild(child, 'SIGKILL');
    if (existsSync(join(rig.folder, 'out', 'tls.crt'))) assert.ok(belongTogether(rig.folder));
  }
  const child = program(context, rig, settings);
  await rig.only('active');
  await soon(async () => existsSync(join(rig.folder, 'out', 'tls.crt')));
  assert.ok(belongTogether(rig.folder));
  assert.equal(await usesOf(rig), 1);
  await stopChild(child, 'SIGTERM');
  await rig.only('stopped');
  assert.equal(child.exitCode, 0);
});
