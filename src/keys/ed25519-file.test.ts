import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Result, unwrap } from '../base/result.ts';
import { ed25519KeyOf, makeEd25519File, readEd25519File } from './ed25519-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);

test('a key is found again, signs as before, and is for its owner alone', async () => {
  const path = join(folder, 'key');
  assert.equal(unwrap(await readEd25519File(path)), undefined);
  const made = unwrap(await makeEd25519File(path));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const found = ed25519KeyOf(unwrap(await readEd25519File(path))!);
  assert.deepEqual(found.publicKeySpki, made.publicKeySpki);
  const spki = { key: Buffer.from(made.publicKeySpki), type: 'spki', format: 'der' } as const;
  const signature = unwrap(await found.sign(Buffer.from('text')));
  assert.ok(verify(null, Buffer.from('text'), createPublicKey(spki), signature));
});

test('a key that others may read, a link, and anything but an Ed25519 key are refused', async () => {
  const open = join(folder, 'open');
  unwrap(await makeEd25519File(open));
  chmodSync(open, 0o640);
  assert.equal(codeOf(await readEd25519File(open)), 'KEY_PERMISSIONS');
  symlinkSync(join(folder, 'key'), join(folder, 'link'));
  assert.equal(codeOf(await readEd25519File(join(folder, 'link'))), 'KEY_FILE_CORRUPT');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  for (const content of ['', 'no key', pem, pem.slice(0, 40)]) {
    writeFileSync(join(folder, 'other'), content, { mode: 0o600 });
    assert.equal(codeOf(await readEd25519File(join(folder, 'other'))), 'KEY_FILE_CORRUPT');
  }
});
