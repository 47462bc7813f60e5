import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemRandom } from '../../src/base/random.ts';
import { makeStoredMaterial, outputMaterial } from '../../test/support/output-material.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { outputsSchema } from './output-settings.ts';
import { removeOutputs, writeOutputs } from './outputs.ts';

/** Whether the files that `..data` points to now are of one key. */
function whole(directory: string): boolean {
  const version = join(directory, readlinkSync(join(directory, '..data')));
  const certificate = new X509Certificate(readFileSync(join(version, 'tls.crt')));
  return certificate.checkPrivateKey(createPrivateKey(readFileSync(join(version, 'tls.key'))));
}

describe('certificate files', () => {
  test('change together, and writing the same again changes nothing', async (context) => {
    const directory = join(testFolder(context), 'out');
    const settings = outputsSchema.parse({ directory });
    const material = outputMaterial(makeStoredMaterial());
    assert.equal(assertValue(await writeOutputs(settings, material, systemRandom)), true);
    const before = readlinkSync(join(directory, '..data'));
    assert.equal(assertValue(await writeOutputs(settings, material, systemRandom)), false);
    assert.equal(readlinkSync(join(directory, '..data')), before);
    const other = outputMaterial(makeStoredMaterial());
    assert.equal(assertValue(await writeOutputs(settings, other, systemRandom)), true);
    assert.ok(whole(directory));
    assert.equal(readdirSync(directory).filter((name) => name.startsWith('..v-')).length, 1);
  });

  test('of other trust domains come and go with their bundles, and strangers stay', async (context) => {
    const directory = join(testFolder(context), 'out');
    const settings = outputsSchema.parse({ directory });
    const stored = makeStoredMaterial();
    mkdirSync(directory);
    writeFileSync(join(directory, 'notes.txt'), 'of the operator');
    const two = outputMaterial(stored, ['partner.test']);
    assertValue(await writeOutputs(settings, two, systemRandom));
    assert.ok(existsSync(join(directory, 'bundle-partner.test.crt')));
    assertValue(await writeOutputs(settings, outputMaterial(stored), systemRandom));
    assert.deepEqual(
      readdirSync(directory).filter((name) => !name.startsWith('..')),
      ['ca.crt', 'notes.txt', 'tls.crt', 'tls.key'],
    );
  });

  test('have the modes that are asked for, whatever the umask', async (context) => {
    const umask = process.umask(0o077);
    context.after(() => process.umask(umask));
    const directory = join(testFolder(context), 'out');
    const settings = outputsSchema.parse({ directory, keyMode: '0640', mode: '0444' });
    assertValue(await writeOutputs(settings, outputMaterial(makeStoredMaterial()), systemRandom));
    assert.equal(statSync(join(directory, 'tls.key')).mode & 0o777, 0o640);
    assert.equal(statSync(join(directory, 'tls.crt')).mode & 0o777, 0o444);
  });

  test('include a key store that OpenSSL opens with the password of the file', async (context) => {
    const folder = testFolder(context);
    const directory = join(folder, 'out');
    const password = join(folder, 'password');
    const settings = outputsSchema.parse({
      directory,
      pkcs12Name: 'store.p12',
      pkcs12PasswordPath: password,
    });
    const material = outputMaterial(makeStoredMaterial());
    assertRefused(await writeOutputs(settings, material, systemRandom), 'COMPANION_PROOF');
    assert.equal(existsSync(join(directory, 'tls.key')), false, 'all files or none');
    writeFileSync(password, 'a secret\n');
    assertValue(await writeOutputs(settings, material, systemRandom));
    const store = join(directory, 'store.p12');
    assert.equal(statSync(store).mode & 0o777, 0o600);
    const out = execFileSync(
      'openssl',
      ['pkcs12', '-in', store, '-nodes', '-passin', `file:${password}`],
      {
        encoding: 'utf8',
        stdio: 'pipe',
      },
    );
    assert.ok(out.includes(readFileSync(join(directory, 'tls.key'), 'utf8')));
    assert.equal(assertValue(await writeOutputs(settings, material, systemRandom)), false);
  });

  test('that cannot be written leave those that are there', async (context) => {
    const directory = join(testFolder(context), 'out');
    const settings = outputsSchema.parse({ directory });
    assertValue(await writeOutputs(settings, outputMaterial(makeStoredMaterial()), systemRandom));
    // A file in the folder's place stops root too.
    const blocked = outputsSchema.parse({ directory: join(directory, 'tls.crt') });
    const next = outputMaterial(makeStoredMaterial());
    assertRefused(await writeOutputs(blocked, next, systemRandom), 'FILE_UNWRITABLE');
    assert.ok(whole(directory));
  });

  test('are written anew where rights are others, or a name leads elsewhere', async (context) => {
    const folder = testFolder(context);
    const directory = join(folder, 'out');
    const material = outputMaterial(makeStoredMaterial());
    const write = async (more: object = {}) =>
      assertValue(
        await writeOutputs(outputsSchema.parse({ directory, ...more }), material, systemRandom),
      );
    await write({ keyMode: '0644' });
    const key = join(directory, 'tls.key');
    assert.equal(await write(), true);
    assert.equal(statSync(key).mode & 0o777, 0o600);
    chmodSync(key, 0o666);
    assert.equal(await write(), true);
    assert.equal(statSync(key).mode & 0o777, 0o600);
    const elsewhere = join(folder, 'elsewhere');
    writeFileSync(elsewhere, 'of somebody else');
    rmSync(key);
    symlinkSync(elsewhere, key);
    assert.equal(await write(), true);
    assert.equal(readlinkSync(key), '..data/tls.key');
    assert.equal(readFileSync(elsewhere, 'utf8'), 'of somebody else');
    assert.equal(await write({ group: statSync(key).gid }), false);
  });

  test('of trust domains with the longest names are written too, each its own', async (context) => {
    const directory = join(testFolder(context), 'out');
    const settings = outputsSchema.parse({ directory });
    const names = ['a', 'b'].map((end) => `${'x'.repeat(254)}${end}`);
    const material = outputMaterial(makeStoredMaterial(), names);
    assertValue(await writeOutputs(settings, material, systemRandom));
    const found = readdirSync(directory).filter((name) => name.startsWith('bundle-x'));
    assert.equal(found.length, 2);
    assert.equal(assertValue(await writeOutputs(settings, material, systemRandom)), false);
  });

  test('that were never written are removed already', async (context) => {
    const settings = outputsSchema.parse({ directory: join(testFolder(context), 'none') });
    assertValue(await removeOutputs(settings));
  });

  test('are gone, key first, once they are removed', async (context) => {
    const directory = join(testFolder(context), 'out');
    const settings = outputsSchema.parse({ directory });
    assertValue(await writeOutputs(settings, outputMaterial(makeStoredMaterial()), systemRandom));
    assertValue(await removeOutputs(settings));
    assert.equal(existsSync(join(directory, 'tls.key')), false);
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith('..')),
      [],
    );
  });

  test('are whole after kill -9 at any moment, and the next start leaves no rest', async (context) => {
    const folder = testFolder(context);
    const directory = join(folder, 'out');
    const stored = [makeStoredMaterial(), makeStoredMaterial()];
    writeFileSync(join(folder, 'materials.json'), JSON.stringify(stored));
    for (let round = 0; round < 3; round++) {
      const child = spawn(
        process.execPath,
        ['test/support/outputs-child.ts', directory, join(folder, 'materials.json')],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      // It writes without a pause: wherever this signal finds it is in the midst of a change.
      const closed = once(child, 'close');
      const [said] = await Promise.race([once(child.stdout, 'data'), closed]);
      assert.ok(Buffer.isBuffer(said), 'the writer ended by itself');
      child.kill('SIGKILL');
      await closed;
      assert.ok(whole(directory));
    }
    const settings = outputsSchema.parse({ directory });
    const last = outputMaterial(makeStoredMaterial());
    assertValue(await writeOutputs(settings, last, systemRandom));
    assert.equal(readdirSync(directory).filter((name) => name.startsWith('..v-')).length, 1);
    assert.ok(whole(directory));
  });
});

test('names that would leave the folder, or clash, are refused', () => {
  for (const outputs of [
    { keyName: '../key' },
    { keyName: '/etc/key' },
    { keyName: '..data' },
    { keyName: '.hidden' },
    { keyName: 'a/b' },
    { keyName: 'tls.crt' },
    { bundleName: 'bundle-x.crt' },
    { pkcs12Name: 'store.p12' },
    { pkcs12PasswordPath: '/p' },
    { keyMode: '0800' },
    { directory: 'relative' },
  ]) {
    assert.equal(outputsSchema.safeParse(outputs).success, false, JSON.stringify(outputs));
  }
});
