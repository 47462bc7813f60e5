import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { crlOf } from '../../test/support/crl.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeCertificate, makeRoot } from '../../test/support/x509.ts';
import { createLogger, type Logger } from '../runtime/log.ts';
import { openCrlFiles } from './crl-files.ts';

const root = makeRoot();
const revoked = makeCertificate({ issuer: root });

function folderOf(context: TestContext): (name: string, bytes: Uint8Array) => string {
  const folder = mkdtempSync(join(tmpdir(), 'sgn-crl-'));
  context.after(() => rmSync(folder, { recursive: true }));
  // Renamed into place, as programs that replace CRLs do: another file, whatever the clock says.
  return (name, bytes) => {
    writeFileSync(join(folder, 'new'), bytes);
    renameSync(join(folder, 'new'), join(folder, name));
    return join(folder, name);
  };
}

test('CRLs are read again when a file is another one, and stay when the new one is none', async (context) => {
  const write = folderOf(context);
  const paths = [write('a.crl', crlOf(root))];
  let told = 0;
  const log = { error: () => void told++ } as unknown as Logger;
  const current = assertValue(await openCrlFiles({ paths, maxStaleMs: 7, log }));
  const lists = async () => {
    const { crls, maxStaleMs } = await current();
    const { issuerDer, serial } = revoked.certificate;
    return [maxStaleMs, crls.map((crl) => crl.find(issuerDer, serial) !== undefined)];
  };
  assert.deepEqual(await lists(), [7, [false]]);
  write('a.crl', crlOf(root, revoked));
  assert.deepEqual(await lists(), [7, [true]]);
  write('a.crl', Buffer.from('no CRL'));
  assert.deepEqual(await lists(), [7, [true]]);
  assert.deepEqual(await lists(), [7, [true]]);
  assert.equal(told, 1, 'told once');
  write('a.crl', crlOf(root));
  assert.deepEqual(await lists(), [7, [false]]);
});

test('a file that is missing, or no CRL, is refused at the start', async (context) => {
  const write = folderOf(context);
  const log = createLogger({ level: 'silent' });
  const open = (path: string) => openCrlFiles({ paths: [path], maxStaleMs: 0, log });
  assertRefused(await open('/nowhere/a.crl'), 'FILE_UNREADABLE');
  assert.ok(!(await open(write('b.crl', Buffer.from('none')))).ok);
});
