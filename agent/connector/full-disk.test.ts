import assert from 'node:assert/strict';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createLogger } from '../../src/runtime/log.ts';
import {
  belongTogether,
  command,
  message,
  outputs,
  server,
  session,
  spkiOf,
} from '../../test/support/companion.ts';
import {
  companionSettings,
  runCompanion,
  testSegment,
} from '../../test/support/companion-server.ts';
import { soon } from '../../test/support/processes.ts';
import { asRoot, fill, mountSmall } from '../../test/support/small-disk.ts';

// The server here is scripted, not ours: what the real one says is in test/integration/companion.test.ts.

/** A log of errors, and whether one of them says what to do about a full disk. */
function errorLog(folder: string) {
  const path = join(folder, 'log');
  const log = createLogger({ level: 'error', fd: openSync(path, 'a') });
  const saysWhatToDo = (what: string) => {
    const line = readFileSync(path, 'utf8')
      .split('\n')
      .find((one) => one.includes(what) && one.includes('DISK_FULL'));
    return /no space left.*Free space/.test(line ?? '');
  };
  return { log, saysWhatToDo };
}

/** A folder with a small file system of this name in it, which is taken off before the folder goes. */
function small(context: TestContext, name: string, size: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  mountSmall(context, join(folder, name), size);
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe('a full disk', () => {
  test(
    'under the state: what came is not accepted, and comes again when there is room',
    asRoot,
    async (context) => {
      const of = await server(context);
      const dataDir = join(small(context, 'data', '256k'), 'data');
      const one = companionSettings(context, of, { dataDir });
      const { log, saysWhatToDo } = errorLog(one.folder);
      const companion = await runCompanion(context, one, { log });
      const first = await session(of, 1);
      await soon(async () => companion.health.report('ready').ok);
      const before = outputs(one.folder).key;
      const empty = fill(dataDir);
      first.send(command({ $case: 'renewNow', value: { reason: '' } }));
      const { csr } = await message(first, 'renewCsr');
      const svid = of.svid(spkiOf(csr));
      first.send({ $case: 'svid', value: { svid, version: 'v2', nonce: Buffer.from('a') } });
      assert.match((await message(first, 'nack')).error, /no space left/);
      const whole = { full: true, removedIds: [], baseVersion: '', last: true };
      const segments = [testSegment('a')];
      const nonce = Buffer.from('b');
      first.send({ $case: 'segments', value: { ...whole, segments, version: '1-a', nonce } });
      await message(first, 'nack', ({ version }) => version === '1-a');
      first.send({
        $case: 'bundle',
        value: { bundles: of.bundles(), crl: Buffer.alloc(0), version: 'b2', nonce },
      });
      await message(first, 'nack', ({ version }) => version === 'b2');
      for (const what of ['SVID', 'segments', 'bundles']) {
        await soon(async () => saysWhatToDo(`${what} not accepted`));
      }
      // Nothing of it stands anywhere: not in what it says it has, not in the files.
      first.end();
      const second = await session(of, 2);
      assert.deepEqual((await message(second, 'hello')).versions, []);
      assert.equal(outputs(one.folder).key, before);
      empty();
      second.send(command({ $case: 'renewNow', value: { reason: '' } }));
      const next = await message(second, 'renewCsr');
      const again = of.svid(spkiOf(next.csr));
      second.send({ $case: 'svid', value: { svid: again, version: 'v3', nonce } });
      const third = await message(await session(of, 3), 'hello');
      assert.deepEqual(
        third.versions.map(({ version }) => version),
        ['v3'],
      );
      await soon(async () => outputs(one.folder).key !== before);
      assert.ok(belongTogether(one.folder));
    },
  );

  test(
    'under the files: the old ones stay a pair until the new ones fit',
    asRoot,
    async (context) => {
      const of = await server(context);
      const folder = small(context, 'out', '128k');
      const directory = join(folder, 'out');
      const one = companionSettings(context, of, { outputs: { directory } });
      const { log, saysWhatToDo } = errorLog(one.folder);
      const companion = await runCompanion(context, one, { log });
      const first = await session(of, 1);
      await soon(async () => companion.health.report('ready').ok);
      const before = outputs(folder).key;
      const empty = fill(directory);
      first.send(command({ $case: 'renewNow', value: { reason: '' } }));
      const { csr } = await message(first, 'renewCsr');
      const svid = of.svid(spkiOf(csr));
      first.send({ $case: 'svid', value: { svid, version: 'v2', nonce: Buffer.from('a') } });
      const second = await session(of, 2);
      await message(second, 'heartbeat', ({ reason }) => /certificates: .*no space/.test(reason));
      assert.equal(outputs(folder).key, before);
      assert.ok(belongTogether(folder));
      await soon(async () => saysWhatToDo('certificates'));
      empty();
      await soon(async () => outputs(folder).key !== before);
      assert.ok(belongTogether(folder));
    },
  );
});
