import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CliOutcome, cli } from '../../test/support/cli.ts';
import { FakeKube } from '../../test/support/fake-kube.ts';
import { makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { kubectlCommands, kubectlProgram } from './commands.ts';

const ROOT = makeRoot('example.org');

describe('the plugin, without a cluster or with a fake one', () => {
  let dir: string;
  let kube: FakeKube;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-plugin-'));
    kube = await FakeKube.start();
    writeFileSync(join(dir, 'root.pem'), ROOT.pem);
    writeFileSync(join(dir, 'leaf.pem'), makeLeaf(ROOT).pem);
  });
  after(async () => {
    await kube.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const signet = (...argv: string[]): Promise<CliOutcome> =>
    cli(kubectlCommands, argv, { env: { KUBECONFIG: kube.kubeconfigPath } }, kubectlProgram);

  test('every command has a help page of its own, in its own name', async () => {
    for (const { path } of kubectlCommands) {
      const { code, out } = await signet(path, '--help');
      assert.equal(code, 0);
      assert.match(out, new RegExp(`^Usage: kubectl signet ${path} `));
      // A line ends where the next word has no room, or its paragraph ends.
      const lines = (out.split('\nOptions:')[0] ?? '').split('\n');
      const early = lines.filter((line, at) => {
        const next = lines[at + 1]?.split(' ')[0] ?? '';
        return line !== '' && next !== '' && `${line} ${next}`.length < 80;
      });
      assert.deepEqual(early, []);
    }
    const { code, out } = await signet('--help');
    assert.equal(code, 0);
    assert.ok(out.split('\n').every((line) => line.length <= 80));
  });

  test('every command refuses flags that it does not know with 2, and says what to run', async () => {
    for (const { path } of kubectlCommands) {
      const { code, err } = await signet(path, '--frobnicate');
      assert.equal(code, 2, path);
      assert.match(err, /code: CLI_USAGE\n {2}next: Run "kubectl signet /);
    }
  });

  test('a file is verified against a file, and no cluster is asked', async () => {
    const asked = kube.calls.length;
    const file = ['-f', join(dir, 'leaf.pem'), '--bundle', join(dir, 'root.pem')];
    const { code, out } = await signet('verify', ...file);
    assert.equal(code, 0, out);
    assert.match(out, /^SPIFFE ID +spiffe:\/\/example\.org\/workload +Valid$/m);
    const other = await signet('verify', ...file, '--trust-domain', 'other.example');
    assert.equal(other.code, 1);
    assert.match(
      other.out,
      /^trust domain +it is of example\.org, not of other\.example +Invalid$/m,
    );
    assert.equal(kube.calls.length, asked);
  });

  test('lists by pages of 500, and by what it looks for alone', async () => {
    const before = kube.calls.length;
    const { code, err } = await signet('-A');
    assert.equal(code, 2);
    assert.match(err, /code: TRUST_NOT_FOUND/);
    const lists = kube.calls.slice(before).filter(({ path }) => path.endsWith('/configmaps'));
    assert.ok(lists.length > 0);
    for (const { query } of lists) {
      assert.equal(query.get('limit'), '500');
      assert.ok(query.has('labelSelector') || query.has('fieldSelector'));
    }
  });

  test('whoami takes a pod, and needs a server', async () => {
    assert.equal((await signet('whoami')).code, 2);
    const { code, err } = await signet('whoami', 'pod/a/b', '--server-socket', '/nowhere');
    assert.equal(code, 2);
    assert.match(err, /code: CLI_SERVER_UNREACHABLE/);
  });

  test('--as-group needs --as, and a namespace has to be one', async () => {
    for (const argv of [
      ['--as-group', 'a'],
      ['-n', 'A/b'],
      ['--request-timeout', 'soon'],
    ]) {
      const { code, err } = await signet(...argv);
      assert.equal(code, 2);
      assert.match(err, /code: CLI_USAGE/);
    }
  });
});
