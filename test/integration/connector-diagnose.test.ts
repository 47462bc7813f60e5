import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { cliCommands } from '../../src/cli/commands.ts';
import { cli } from '../support/cli.ts';
import { CompanionRig } from '../support/companion-rig.ts';
import { runCompanion } from '../support/companion-server.ts';
import { startConnector } from '../support/connector-rig.ts';
import { soon } from '../support/processes.ts';
import type { TestServer } from '../support/server.ts';
import { keyOf, WireConnector } from '../support/wire-connector.ts';

// Operators ask connectors how they are inside, at a real server: nothing is staged but the connectors.

const signet = (server: TestServer, ...argv: string[]) =>
  cli(cliCommands, ['connector', ...argv], {
    clock: systemClock,
    env: { SIGNET_SERVER_SOCKET: server.config.adminSocket.path },
  });

interface Told {
  readonly id: string;
  readonly parts: readonly { readonly text: string; readonly warning?: boolean }[];
}

async function told(server: TestServer, ...argv: string[]): Promise<readonly Told[]> {
  const { code, out, err } = await signet(server, 'diagnose', ...argv, '-o', 'json');
  assert.equal(code, 0, err);
  return JSON.parse(out).diagnostics;
}

test('a companion tells its state, and what its hook prints', async (context) => {
  const rig = await CompanionRig.start(context);
  const hooks = { diagnostics: { command: ['/bin/echo', 'disk 40 % full'] } };
  const settings = await rig.settings(1, { hooks });
  await runCompanion(context, { folder: rig.folder, settings });
  const { id } = await rig.only('active');
  const [one] = await told(rig.server, id, '--within', '60s');
  assert.deepEqual(one?.parts.slice(1), [{ text: 'disk 40 % full\n' }]);
  assert.equal(JSON.parse(one?.parts[0]?.text ?? '').connectorId, id);
  const last = await signet(rig.server, 'diagnose', '--group', 'edge', '--last');
  assert.match(last.out, new RegExp(`^connectorId +: ${id}$`, 'm'), last.err);
  assert.match(last.out, /^disk 40 % full$/m);
});

test('a companion whose hook fails says that this is not well', async (context) => {
  const rig = await CompanionRig.start(context);
  const hooks = { diagnostics: { command: [join(rig.folder, 'no-such-program')] } };
  await runCompanion(context, { folder: rig.folder, settings: await rig.settings(1, { hooks }) });
  const { id } = await rig.only('active');
  const { code, out, err } = await signet(rig.server, 'diagnose', id, '--within', '60s');
  assert.equal(code, 0, err);
  assert.match(out, /^Not well:$/m);
});

test('the reference connector tells; one that does not is refused, and nothing else suffers', async (context) => {
  const rig = await CompanionRig.start(context);
  const key = async (): Promise<string> =>
    keyOf((await signet(rig.server, 'key', 'create', '--group', 'edge')).out);
  const home = { port: rig.port, root: { pem: await rig.server.bundlePem() } };
  await startConnector(context, home, { proof: { kind: 'provisioning-key', key: await key() } });
  const reference = await rig.only('active');
  const [one] = await told(rig.server, reference.id, '--within', '60s');
  const status = JSON.parse(one?.parts[0]?.text ?? '');
  assert.equal(status.serialNumber, reference.serialNumber);

  const wire = await WireConnector.enrol(rig.server, 'edge', await key());
  context.after(() => wire.close());
  await wire.connect();
  const state = async () =>
    JSON.parse((await signet(rig.server, 'show', wire.id, '-o', 'json')).out);
  await soon(async () => (await state()).state === 'active');
  const refused = await signet(rig.server, 'diagnose', wire.id, '--within', '60s');
  assert.match(refused.err, /code: CONNECTOR_DIAGNOSTICS_REFUSED/);
  assert.equal((await state()).state, 'active', 'it is not degraded by that');
  wire.diagnostics = ['one', 'two'];
  const both = await told(rig.server, '--group', 'edge', '--within', '60s');
  const texts = both.find(({ id }) => id === wire.id)?.parts.map(({ text }) => text);
  assert.deepEqual([both.length, texts], [2, ['one', 'two']]);
});
