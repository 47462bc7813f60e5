import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Result, unwrap } from '../base/result.ts';
import { PUBLISHED_BLOCKED_KEYS } from '../x509/blocked-keys.ts';
import { loadBlockedKeys } from './blocked-keys.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('blocks the published keys where no file is named', async () => {
  assert.equal(unwrap(await loadBlockedKeys(undefined)), PUBLISHED_BLOCKED_KEYS);
});

test('adds the keys of the file', async () => {
  const path = join(folder, 'keys');
  const digest = 'ab'.repeat(32);
  writeFileSync(path, `${digest} # stolen\n`);
  const blocked = unwrap(await loadBlockedKeys(path));
  assert.ok(blocked.has(digest));
  assert.equal(blocked.size, PUBLISHED_BLOCKED_KEYS.size + 1);
});

test('refuses a file that is not there, a folder and one that is malformed, by its name', async () => {
  const malformed = join(folder, 'malformed');
  writeFileSync(malformed, 'no hash\n');
  for (const [path, expected] of [
    [join(folder, 'absent'), 'FILE_UNREADABLE'],
    [folder, 'FILE_UNREADABLE'],
    [malformed, 'KEY_BLOCKLIST'],
  ] as const) {
    const loaded = await loadBlockedKeys(path);
    assert.equal(code(loaded), expected);
    assert.ok(loaded.ok || loaded.error.message.includes(path));
  }
});
