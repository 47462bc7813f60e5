import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { SignetError } from '../base/errors.ts';
import { checkNamedFiles, namedFiles, nameSetting } from './named-files.ts';

const CONFIG = {
  dataDir: '/var/lib/signet',
  adminSocket: { path: '/run/signet/api.sock' },
  attestation: {
    dpu: { manifests: { paths: ['/etc/a.json', '/etc/b.json'] }, hostBootPath: '/run/boot' },
    x509pop: { caBundlePaths: ['/etc/ca.pem'] },
  },
  clusters: [{ name: 'one', kubeconfigPath: '/etc/kube' }, { name: 'two' }],
  discoverPath: 'relative',
};

test('files are named by their settings; sockets, folders and what may be absent are none', () => {
  assert.deepEqual(
    namedFiles(CONFIG).map(({ key, path }) => `${key} ${path}`),
    [
      'attestation.dpu.manifests.paths[0] /etc/a.json',
      'attestation.dpu.manifests.paths[1] /etc/b.json',
      'attestation.x509pop.caBundlePaths[0] /etc/ca.pem',
      'clusters[0].kubeconfigPath /etc/kube',
    ],
  );
});

test('a refusal over a file names its setting, with all that it said', () => {
  const cause = new Error('inner');
  const error = new SignetError('FILE_UNREADABLE', '/etc/b.json does not exist', { cause });
  const named = nameSetting(error, CONFIG);
  assert.equal(named.message, 'attestation.dpu.manifests.paths[1]: /etc/b.json does not exist');
  assert.deepEqual([named.code, named.cause, named.status], [error.code, cause, error.status]);
  for (const other of ['/etc/b.json.bak does not exist', 'nothing of a file']) {
    const left = new SignetError('FILE_UNREADABLE', other);
    assert.equal(nameSetting(left, CONFIG), left);
  }
});

test('every file that cannot be read is told at once', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  try {
    const at = (name: string): string => join(folder, name);
    writeFileSync(at('there'), 'x');
    assert.equal(assertValue(await checkNamedFiles({ keyPath: at('there') })).length, 1);
    const gone = await checkNamedFiles({ paths: [at('there'), at('a')], caPath: at('b') });
    assertRefused(gone, 'FILE_UNREADABLE');
    assert.equal(
      gone.ok ? '' : gone.error.message,
      `paths[1]: ${at('a')} cannot be read (ENOENT)\ncaPath: ${at('b')} cannot be read (ENOENT)`,
    );
    chmodSync(at('there'), 0);
    const locked = await checkNamedFiles({ keyPath: at('there') });
    // Root reads whatever the mode says.
    assert.equal(locked.ok, process.geteuid?.() === 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
