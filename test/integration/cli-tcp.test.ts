import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { kubectlCommands, kubectlProgram } from '../../src/kubectl/commands.ts';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { Field } from '../support/field.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { testFolder } from '../support/workload-api.ts';
import { makeRoot } from '../support/x509.ts';

const linux = process.platform === 'linux' ? { skip: false } : skipUnlessCi('needs Linux');
const TRUST = 'spiffe://example.org';

test(
  'an operator calls a server’s port with the SVID of an administrator',
  linux,
  async (context) => {
    const field = new Field(context);
    await field.startServer();
    const folder = testFolder(context);
    const local = { SIGNET_SERVER_SOCKET: join(field.dir, 'p', 'api.sock') };
    for (const [path, more] of [
      ['/ops', ['-admin']],
      ['/web', []],
    ] as const) {
      const flags = [
        '-spiffeID',
        TRUST + path,
        '-parentID',
        `${TRUST}/node`,
        '-selector',
        'unix:uid:1',
      ];
      const made = await cli(commands, ['entry', 'create', ...flags, ...more], { env: local });
      assert.equal(made.code, 0, made.err);
      const mint = ['x509', 'mint', '--spiffe-id', TRUST + path, '--write', folder + path];
      assert.equal((await cli(commands, mint, { env: local })).code, 0);
    }
    const port = `tcp://127.0.0.1:${field.port}`;
    const remote = (svid: string, ...argv: readonly string[]) =>
      cli(commands, argv, { env: { SIGNET_SERVER_SOCKET: port, SIGNET_ADMIN_SVID: svid } });

    const count = await remote(join(folder, 'ops'), 'entry', 'count');
    assert.equal(count.code, 0, count.err);
    assert.match(count.out, /2/);
    const flags = ['--server-socket', port, '--admin-svid', join(folder, 'ops')];
    assert.equal((await cli(commands, ['agent', 'list', ...flags], { env: {} })).code, 0);

    const kube = await FakeKube.start();
    context.after(() => kube.stop());
    const env = { KUBECONFIG: kube.kubeconfigPath };
    const plugin = await cli(kubectlCommands, ['list', '-A', ...flags], { env }, kubectlProgram);
    assert.equal(plugin.code, 0, plugin.err);
    assert.match(plugin.out, /^example\.org +server +server .*InSync$/m);

    // Who is no administrator, or shows himself to a server that is not his.
    const web = await remote(join(folder, 'web'), 'entry', 'count');
    assert.equal(web.code, 1);
    assert.match(web.err, /code: CALLER_NOT_ALLOWED/);
    const foreign = join(folder, 'foreign');
    cpSync(join(folder, 'ops'), foreign, { recursive: true });
    writeFileSync(join(foreign, 'bundle.pem'), makeRoot('example.org').pem);
    const refused = await remote(foreign, 'entry', 'count');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^note: .*\n.*cannot reach the server at tcp:/m);
  },
);

for (const [name, env, code] of [
  ['no SVID', { SIGNET_SERVER_SOCKET: 'tcp://127.0.0.1:1' }, 'CLI_USAGE'],
  [
    'a folder without one',
    { SIGNET_SERVER_SOCKET: 'tcp://h:1', SIGNET_ADMIN_SVID: '/proc' },
    'CLI_FILE',
  ],
  ['no port', { SIGNET_SERVER_SOCKET: 'tcp://h', SIGNET_ADMIN_SVID: '/' }, 'CLI_USAGE'],
  ['port 0', { SIGNET_SERVER_SOCKET: 'tcp://h:0', SIGNET_ADMIN_SVID: '/' }, 'CLI_USAGE'],
  ['port 65536', { SIGNET_SERVER_SOCKET: 'tcp://h:65536', SIGNET_ADMIN_SVID: '/' }, 'CLI_USAGE'],
  ['a path', { SIGNET_SERVER_SOCKET: 'tcp://h:1/x', SIGNET_ADMIN_SVID: '/' }, 'CLI_USAGE'],
  ['a user', { SIGNET_SERVER_SOCKET: 'tcp://u@h:1', SIGNET_ADMIN_SVID: '/' }, 'CLI_USAGE'],
  ['another scheme', { SIGNET_SERVER_SOCKET: 'http://h:1', SIGNET_ADMIN_SVID: '/' }, 'CLI_USAGE'],
] as const) {
  test(`a server’s port is refused with ${name}`, async () => {
    const { err, out } = await cli(commands, ['entry', 'count'], { env });
    assert.equal(out, '');
    assert.match(err, new RegExp(`code: ${code}`));
  });
}

test('an administrator’s SVID is refused beside a socket, which knows its user by itself', async () => {
  const argv = ['entry', 'count', '--server-socket', '/nowhere', '--admin-svid', '/'];
  const { err, code } = await cli(commands, argv, { env: {} });
  assert.equal(code, 2);
  assert.match(err, /--admin-svid.* is for --server-socket tcp:/);
});
