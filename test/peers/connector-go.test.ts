import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { ConnectorRig } from '../support/connector-rig.ts';
import { JsonLines, run, soon } from '../support/processes.ts';
import { ask } from '../support/server.ts';
import { alone, build, buildDir, has } from './build.ts';

/** Builds the connector; what is missing, where something is. */
function prepare(): Promise<{ missing: string | undefined }> {
  return alone(async () => {
    const program = join(buildDir('go-connector'), 'connector');
    if (existsSync(program)) return { missing: undefined };
    if (!(await has('go'))) return { missing: 'go is not installed' };
    return build([['go', ['build', '-o', program, '.'], 'test/peers/go-connector']]);
  });
}

test('a connector in Go, by the page and the .proto alone: enrols, renews, is revoked', async (context) => {
  const { missing } = await prepare();
  if (missing !== undefined && process.env.CI !== 'true') return context.skip(missing);
  assert.equal(missing, undefined);
  const rig = await ConnectorRig.start();
  context.after(() => rig.stop());
  await rig.putGroup();
  await rig.putSegment('db', { hosts: ['db.example.org'] });
  const descriptors = join(rig.fleet.dir, 'connector.binpb');
  const proto = 'proto/signet/connector/v1/connector.proto';
  const built = await run('node_modules/.bin/buf', ['build', '--path', proto, '-o', descriptors]);
  assert.equal(built.code, 0, built.stderr);
  const bundle = join(rig.fleet.dir, 'root.pem');
  writeFileSync(bundle, rig.root.pem);
  const address = `127.0.0.1:${rig.port}`;
  const go = new JsonLines<{ event: string; spiffeId?: string; segments?: number }>(
    join(buildDir('go-connector'), 'connector'),
    [descriptors, address, rig.fleet.trustDomain, bundle, 'edge', await rig.createKey()],
  );
  context.after(() => go.stop());

  const { spiffeId = '' } = await go.next(({ event }) => event === 'enrolled');
  assert.match(spiffeId, /^spiffe:\/\/example\.org\/connector\/edge\//);
  assert.equal((await go.next(({ event }) => event === 'segments')).segments, 1);
  const name = spiffeId.split('/').at(-1) ?? '';
  const info = () => ask(rig.admin(), ConnectorAdminService.getConnector, { name });
  await soon(async () => (await info()).state === 'active');

  const which = { ids: [name], group: '' };
  const before = (await info()).serialNumber;
  const kind = { $case: 'renewNow' as const, value: { reason: '' } };
  const command = { nonce: Buffer.alloc(0), kind };
  await ask(rig.admin(), ConnectorAdminService.commandConnectors, { which, command });
  const from = go.seen.length;
  await go.next(({ event }) => event === 'renewed');
  await go.next(({ event }) => event === 'session', from);
  await soon(async () => (await info()).serialNumber !== before);

  await ask(rig.admin(), ConnectorAdminService.revokeConnectors, { which, reason: 'test' });
  await go.next(({ event }) => event === 'revoked');
  await soon(async () => (await info()).state === 'revoked');
});
