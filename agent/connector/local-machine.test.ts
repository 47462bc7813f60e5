import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { command, message, server, session, spkiOf } from '../../test/support/companion.ts';
import {
  companionSettings,
  runCompanion,
  testSegment,
} from '../../test/support/companion-server.ts';
import { soon } from '../../test/support/processes.ts';
import { assertRefused } from '../../test/support/refused.ts';
import { connectorConfigSchema } from './config.ts';
import { startCompanion } from './start.ts';

// The server here is scripted, not ours: what the real one says is in test/integration/companion.test.ts.

test('a data directory that goes away loses nothing that was acknowledged', async (context) => {
  const of = await server(context);
  const one = companionSettings(context, of);
  await runCompanion(context, one);
  const first = await session(of, 1);
  await message(first, 'heartbeat');
  const data = join(one.folder, 'data');
  renameSync(data, `${data}.away`);
  first.send(command({ $case: 'renewNow', value: { reason: '' } }));
  const { csr } = await message(first, 'renewCsr');
  const svid = of.svid(spkiOf(csr));
  first.send({ $case: 'svid', value: { svid, version: 'v2', nonce: Buffer.from('a') } });
  assert.match((await message(first, 'nack')).error, /cannot be written \(ENOENT\)/);
  renameSync(`${data}.away`, data);
  first.end();
  assert.deepEqual((await message(await session(of, 2), 'hello')).versions, []);
});

test('a revocation takes the segments away too', async (context) => {
  const of = await server(context);
  const one = companionSettings(context, of);
  const companion = await runCompanion(context, one);
  const first = await session(of, 1);
  const path = join(one.folder, 'segments.json');
  const whole = { full: true, removedIds: [], baseVersion: '', last: true };
  const [segments, nonce] = [[testSegment('a')], Buffer.from('b')];
  first.send({ $case: 'segments', value: { ...whole, segments, version: '1-a', nonce } });
  await soon(async () => existsSync(path));
  first.send(command({ $case: 'revoke', value: { reason: 'stolen' } }));
  await companion.ended;
  assert.equal(existsSync(path), false);
});

test('a folder that another companion holds, or others may write to, is refused', async (context) => {
  const of = await server(context);
  const one = companionSettings(context, of);
  await runCompanion(context, one);
  const local = { path: join(one.folder, 'other.sock') };
  const other = connectorConfigSchema.parse({ ...one.settings, local });
  assertRefused(await startCompanion(other), 'DATA_DIR_LOCKED');
  const open = join(one.folder, 'open');
  mkdirSync(open);
  chmodSync(open, 0o777);
  assertRefused(await startCompanion({ ...other, dataDir: open }), 'DATA_DIR_UNSAFE');
  const link = join(one.folder, 'link');
  symlinkSync(open, link);
  assertRefused(await startCompanion({ ...other, dataDir: link }), 'DATA_DIR_UNSAFE');
  const fresh = join(one.folder, 'fresh');
  const taken = connectorConfigSchema.parse({ ...one.settings, dataDir: fresh });
  assertRefused(await startCompanion(taken), 'SOCKET_IN_USE');
});
