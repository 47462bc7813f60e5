import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Result, unwrap } from '../base/result.ts';
import { openDiskKeyManager } from './disk-key-manager.ts';
import { decodeKeyFile } from './key-file.ts';

let directory = '';
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const file = (slot: string) => join(directory, `${slot}.key`);

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'signet-disk-')), 'keys');
});
afterEach(() => rm(join(directory, '..'), { recursive: true, force: true }));

async function withKey(): Promise<Uint8Array> {
  const manager = unwrap(await openDiskKeyManager(directory));
  unwrap(await manager.generate('x509-CA-A', 'ec-p256'));
  return readFile(file('x509-CA-A'));
}

describe('disk keys', () => {
  test('I10 are in a folder 0700 and files 0600, whatever the umask', async () => {
    const before = process.umask(0);
    await withKey().finally(() => process.umask(before));
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    assert.equal((await stat(file('x509-CA-A'))).mode & 0o777, 0o600);
  });

  test('I10 are refused when others may read file or folder', async () => {
    await withKey();
    await chmod(file('x509-CA-A'), 0o640);
    assert.equal(code(await openDiskKeyManager(directory)), 'KEY_PERMISSIONS');
    await chmod(file('x509-CA-A'), 0o600);
    assert.equal(code(await openDiskKeyManager(directory)), 'ok');
    await chmod(directory, 0o750);
    assert.equal(code(await openDiskKeyManager(directory)), 'KEY_PERMISSIONS');
  });

  test('are not read through a link', async () => {
    await withKey();
    await symlink(file('x509-CA-A'), file('x509-CA-B'));
    assert.equal(code(await openDiskKeyManager(directory)), 'KEY_DIRECTORY');
  });

  test('A12 a file cut at any length is refused', async () => {
    const whole = await withKey();
    for (let length = 0; length < whole.length; length++) {
      assert.equal(code(decodeKeyFile('x509-CA-A', whole.subarray(0, length))), 'KEY_FILE_CORRUPT');
    }
    await writeFile(file('x509-CA-A'), whole.subarray(0, whole.length / 2));
    assert.equal(code(await openDiskKeyManager(directory)), 'KEY_FILE_CORRUPT');
  });

  test('A12 a file with any one bit flipped is refused', async () => {
    const whole = await withKey();
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const flipped = Uint8Array.from(whole);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(code(decodeKeyFile('x509-CA-A', flipped)), 'KEY_FILE_CORRUPT');
    }
  });

  test('A12 trailing bytes, an empty file and the file of another slot are refused', async () => {
    const whole = await withKey();
    assert.equal(code(decodeKeyFile('x509-CA-A', whole)), 'ok');
    assert.equal(code(decodeKeyFile('x509-CA-B', whole)), 'KEY_FILE_CORRUPT');
    assert.equal(code(decodeKeyFile('x509-CA-A', Buffer.alloc(0))), 'KEY_FILE_CORRUPT');
    const longer = Buffer.concat([whole, Buffer.from('\n')]);
    assert.equal(code(decodeKeyFile('x509-CA-A', longer)), 'KEY_FILE_CORRUPT');
  });

  test('a temporary file that a crash left is removed, the key before it stands', async () => {
    const whole = await withKey();
    await writeFile(join(directory, '.x509-CA-A.key.12-1.tmp'), whole.subarray(0, 20));
    const manager = unwrap(await openDiskKeyManager(directory));
    assert.notEqual(manager.get('x509-CA-A'), undefined);
    assert.deepEqual(await readdir(directory), ['x509-CA-A.key']);
  });

  test('A13 a write that the disk refuses leaves the old key in force', async () => {
    const whole = await withKey();
    const script = `
      import { openDiskKeyManager } from ${JSON.stringify(import.meta.resolve('./disk-key-manager.ts'))};
      const opened = await openDiskKeyManager(${JSON.stringify(directory)});
      const made = await opened.value.generate('x509-CA-A', 'ec-p256');
      const held = opened.value.get('x509-CA-A').publicKeySpki;
      console.log(made.ok, made.error?.code, Buffer.from(held).toString('hex'));`;
    // No file may grow past 0 bytes: what a full disk does, without needing one.
    const limited = `trap '' XFSZ; ulimit -f 0; exec "$@"`;
    const run = promisify(execFile)('/bin/sh', [
      ...['-c', limited, 'sh', process.execPath, '--input-type=module', '-e', script],
    ]);
    const key = unwrap(await openDiskKeyManager(directory)).get('x509-CA-A');
    const spki = Buffer.from(key!.publicKeySpki).toString('hex');
    assert.equal((await run).stdout.trim(), `false FILE_UNWRITABLE ${spki}`);
    assert.deepEqual(await readFile(file('x509-CA-A')), whole);
    assert.deepEqual(await readdir(directory), ['x509-CA-A.key']);
  });

  test('a folder that cannot be made is refused', async () => {
    assert.equal(code(await openDiskKeyManager('/dev/null/keys')), 'KEY_DIRECTORY');
  });
});
