import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { unwrap } from '../base/result.ts';
import { readBmcCredentials } from './credentials.ts';

const folder = mkdtempSync(join(tmpdir(), 'signet-bmc-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function file(text: string): string {
  files += 1;
  const path = join(folder, `${files}`);
  writeFileSync(path, text);
  return path;
}

test('the account of a BMC stands in files, whose last line end is none of it', async () => {
  const places = { userNamePath: file('signet\n'), passwordPath: file('pass word:ü\r\n') };
  const read = unwrap(await readBmcCredentials(places));
  assert.deepEqual(read, { userName: 'signet', password: 'pass word:ü', method: 'session' });
});

test('the account of a BMC stands in the environment where there are no files', async (context) => {
  context.after(() => {
    delete process.env.SIGNET_TEST_BMC_USER;
    delete process.env.SIGNET_TEST_BMC_PASSWORD;
  });
  process.env.SIGNET_TEST_BMC_USER = 'signet';
  process.env.SIGNET_TEST_BMC_PASSWORD = 'secret';
  const places = {
    userNameVariable: 'SIGNET_TEST_BMC_USER',
    passwordVariable: 'SIGNET_TEST_BMC_PASSWORD',
    method: 'basic',
  } as const;
  const read = unwrap(await readBmcCredentials(places));
  assert.deepEqual(read, { userName: 'signet', password: 'secret', method: 'basic' });
});

const NO_ACCOUNTS: readonly (readonly [what: string, userName: string, password: string])[] = [
  ['an empty user name', '', 'secret'],
  ['an empty password', 'signet', ''],
  ['a colon in the user name', 'sig:net', 'secret'],
  ['a line end in the user name', 'sig\nnet', 'secret'],
  ['a line end in the password', 'signet', 'sec\r\nret: x'],
  ['a user name of 257 characters', 'a'.repeat(257), 'secret'],
  ['a password of 257 characters', 'signet', 's'.repeat(257)],
];

for (const [what, userName, password] of NO_ACCOUNTS) {
  test(`${what} is refused, and nothing of the account is told`, async () => {
    const places = { userNamePath: file(userName), passwordPath: file(password) };
    const read = await readBmcCredentials(places);
    assert.ok(!read.ok);
    assert.equal(read.error.code, 'REDFISH_SETTINGS');
    assert.doesNotMatch(read.error.message, /secret|sec\r|sig:net|sssss|aaaaa/);
  });
}

test('a file that is not there is refused by its name', async () => {
  const read = await readBmcCredentials({ userNamePath: join(folder, 'absent') });
  assert.ok(!read.ok);
  assert.match(read.error.message, /absent/);
});
