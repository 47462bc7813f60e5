import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CliOutcome, cli } from '../../../test/support/cli.ts';
import { FakeKube } from '../../../test/support/fake-kube.ts';
import { makeRoot } from '../../../test/support/x509.ts';
import { kubectlCommands, kubectlProgram } from '../commands.ts';

describe('exporting a bundle', () => {
  const roots = [makeRoot('example.org'), makeRoot('example.org')];
  const pem = roots.map((root) => root.pem).join('');
  let kube: FakeKube;
  let dir: string;
  before(async () => {
    kube = await FakeKube.start();
    dir = mkdtempSync(join(tmpdir(), 'sgn-export-'));
    const metadata = { name: 'spire-bundle', namespace: 'shop' };
    kube.put('/api/v1/configmaps', { metadata, data: { 'bundle.crt': pem } });
    writeFileSync(join(dir, 'password'), 'a secret\n');
    writeFileSync(join(dir, 'empty'), '\n');
  });
  after(async () => {
    await kube.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const signet = (...argv: readonly string[]): Promise<CliOutcome> =>
    cli(
      kubectlCommands,
      ['export', '-A', ...argv],
      { env: { KUBECONFIG: kube.kubeconfigPath } },
      kubectlProgram,
    );

  test('as a trust store that OpenSSL opens, with every authority and no key', async () => {
    const [password, out] = [join(dir, 'password'), join(dir, 'trust.p12')];
    const done = await signet('--format', 'pkcs12', '--password-file', password, '--out', out);
    assert.deepEqual([done.code, done.out], [0, ''], done.err);
    assert.match(done.err, /trust\.p12: 2 authorities\n$/);
    const args = ['pkcs12', '-in', out, '-passin', 'pass:a secret', '-nodes'];
    const text = execFileSync('openssl', args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    assert.equal(text.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.doesNotMatch(text, /PRIVATE KEY/);
    for (const root of roots) assert.ok(text.includes(root.pem.trim()));
  });

  test('into a file, whole or not at all', async () => {
    const out = join(dir, 'bundle.pem');
    assert.equal((await signet('--out', out)).code, 0);
    assert.equal(readFileSync(out, 'utf8'), (await signet()).out);
    const absent = await signet('--out', join(dir, 'no/such/folder'));
    assert.equal(absent.code, 2);
    assert.match(absent.err, /code: FILE_UNWRITABLE/);
  });

  for (const [name, argv] of [
    ['a trust store to standard output', ['--format', 'pkcs12', '--password-file', 'password']],
    ['a trust store without a password', ['--format', 'pkcs12', '--out', 'x']],
    ['an empty password', ['--format', 'pkcs12', '--out', 'x', '--password-file', 'empty']],
    ['a password that is not there', ['--format', 'pkcs12', '--out', 'x', '--password-file', 'no']],
    ['a password for PEM', ['--password-file', 'password']],
  ] as const) {
    test(`refuses ${name}`, async () => {
      const inDir = argv.map((word) =>
        /^(x|empty|no|password)$/.test(word) ? join(dir, word) : word,
      );
      const { code, out, err } = await signet(...inDir);
      assert.deepEqual([code, out], [2, ''], err);
      assert.match(err, /code: CLI_USAGE/);
      assert.ok(!existsSync(join(dir, 'x')));
    });
  }
});
