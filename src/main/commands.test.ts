import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli } from '../../test/support/cli.ts';
import { allFlags } from '../cli/spec.ts';
import { COLUMNS } from '../cli/text.ts';
import { commands } from './commands.ts';

const run = (...argv: string[]) => cli(commands, argv);

for (const { path, load } of commands) {
  test(`"signet ${path} --help" names every flag and gives an example`, async () => {
    const spec = await load();
    const { code, out } = await run(...path.split(' '), '--help');
    assert.equal(code, 0);
    for (const flag of allFlags(spec)) {
      assert.ok(out.includes(`--${flag.name}`), `--${flag.name} is missing`);
      if (flag.spire !== undefined) assert.ok(out.includes(`-${flag.spire}`), `-${flag.spire}`);
    }
    assert.match(out, /Examples?:\n {2}\$ /);
    assert.ok(spec.examples.length > 0);
  });

  test(`"signet ${path}" has each spelling of a flag once`, async () => {
    const spec = await load();
    const names = allFlags(spec).flatMap(({ name, spire, short }) => [name, spire, short]);
    const given = names.filter((name) => name !== undefined);
    assert.equal(new Set(given).size, given.length);
    for (const refused of Object.keys(spec.refused ?? {})) assert.ok(!given.includes(refused));
  });

  test(`the help of "signet ${path}" fits a terminal but for its examples`, async () => {
    const { out } = await run(...path.split(' '), '--help');
    const [flags = ''] = out.split('\nExample');
    for (const line of flags.split('\n')) assert.ok(line.length <= COLUMNS, line);
  });

  test(`the help of "signet ${path}" says once that a flag may be repeated`, async () => {
    const spec = await load();
    for (const { help } of allFlags(spec)) assert.doesNotMatch(help, /may be repeated/);
  });

  test(`"signet ${path}" refuses a flag that it does not have, with 2`, async () => {
    const { code, err } = await run(...path.split(' '), '--no-such-flag');
    assert.equal(code, 2);
    assert.match(err, /code: CLI_USAGE\n {2}next: Run "signet .* --help"/);
  });
}

test('SPIRE flags of the commands that we have are known in both spellings', async () => {
  const flags: Readonly<Record<string, string>> = {
    'server run':
      'config expandEnv bindAddress serverPort dataDir logFile logFormat logLevel logSourceLocation socketPath trustDomain',
    'server validate': 'config expandEnv',
    'token generate': 'spiffeID ttl socketPath output instance',
    'entry create':
      'parentID spiffeID selector node admin downstream federatesWith dns x509SVIDTTL jwtSVIDTTL entryExpiry entryID hint storeSVID disableX509SVIDPrefetch data socketPath output instance',
    'entry update':
      'parentID spiffeID selector node admin downstream federatesWith dns x509SVIDTTL jwtSVIDTTL entryExpiry entryID hint storeSVID disableX509SVIDPrefetch data socketPath output instance',
    'entry show':
      'entryID parentID spiffeID selector federatesWith downstream hint matchSelectorsOn matchFederatesWithOn socketPath output instance',
    'entry count':
      'parentID spiffeID selector federatesWith downstream hint matchSelectorsOn matchFederatesWithOn socketPath output instance',
    'entry delete': 'entryID file socketPath output instance',
    'bundle show': 'format socketPath output instance',
    'bundle list': 'id format socketPath output instance',
    'bundle set': 'id path format socketPath output instance',
    'bundle delete': 'id mode socketPath output instance',
    'bundle count': 'socketPath output instance',
    'federation create':
      'trustDomain bundleEndpointURL bundleEndpointProfile endpointSpiffeID trustDomainBundlePath trustDomainBundleFormat data socketPath output instance',
    'federation update':
      'trustDomain bundleEndpointURL bundleEndpointProfile endpointSpiffeID trustDomainBundlePath trustDomainBundleFormat data socketPath output instance',
    'federation list': 'socketPath output instance',
    'federation show': 'trustDomain socketPath output instance',
    'federation refresh': 'id socketPath output instance',
    'federation delete': 'id socketPath output instance',
    'agent list':
      'selector canReattest banned expiresBefore attestationType matchSelectorsOn socketPath output instance',
    'agent count':
      'selector canReattest banned expiresBefore attestationType matchSelectorsOn socketPath output instance',
    'agent show': 'spiffeID socketPath output instance',
    'agent ban': 'spiffeID socketPath output instance',
    'agent evict': 'spiffeID socketPath output instance',
    'x509 mint': 'spiffeID ttl dns write socketPath output instance',
    'jwt mint': 'spiffeID ttl audience write socketPath output instance',
    'healthcheck server': 'shallow verbose socketPath instance',
    'healthcheck agent': 'shallow verbose socketPath',
    'agent run':
      'config serverAddress serverPort trustDomain trustBundle trustBundleUrl trustBundleFormat joinToken joinTokenFile insecureBootstrap dataDir socketPath allowUnauthenticatedVerifiers disableWorkloadAPI disableSDSAPI logFile logFormat logLevel logSourceLocation expandEnv',
    'agent validate': 'config expandEnv',
    'api fetch': 'audience spiffeID timeout write silent socketPath output',
    'api watch': 'timeout socketPath',
    'api validate': 'audience svid timeout socketPath output',
  };
  for (const [path, names] of Object.entries(flags)) {
    const spec = await commands.find((entry) => entry.path === path)?.load();
    assert.ok(spec, path);
    const known = new Set([
      ...allFlags(spec).flatMap(({ name, spire }) => [name, spire]),
      ...Object.keys(spec.refused ?? {}),
    ]);
    for (const name of names.split(' ')) assert.ok(known.has(name), `${path} lacks -${name}`);
  }
});

test('the list of commands goes to standard output when asked for, with 0', async () => {
  for (const argv of [['--help'], ['-h'], ['-help'], ['help']]) {
    const { code, out } = await run(...argv);
    assert.equal(code, 0);
    for (const { path } of commands) assert.ok(out.includes(`  ${path} `), path);
    for (const line of out.split('\n')) assert.ok(line.length <= COLUMNS, line);
  }
});

test('the commands of one group stand in columns, within a terminal', async () => {
  for (const group of ['dpu', 'dpu manifest', 'localauthority', 'upstreamauthority', 'ledger']) {
    const { out } = await run(...group.split(' '), '--help');
    const lines = out.split('\n').filter((line) => line.startsWith(`  ${group} `));
    const columns = lines.map((line) => line.search(/(?<= {2})[A-Z]/));
    assert.equal(new Set(columns).size, 1, out);
    for (const line of lines) assert.ok(line.length <= COLUMNS, line);
  }
});

test('no command at all is usage: 2, and the list on standard error', async () => {
  const { code, out, err } = await run();
  assert.deepEqual([code, out], [2, '']);
  assert.match(err, /Usage: signet/);
});

test('a noun alone lists its verbs', async () => {
  const asked = await run('entry', '--help');
  assert.equal(asked.code, 0);
  assert.match(asked.out, /entry create.*\n.*entry update/);
  assert.equal((await run('entry')).code, 2);
});

test('"help" before a command shows its page', async () => {
  assert.match((await run('help', 'entry', 'create')).out, /--spiffe-id/);
});

test('a misspelt command is refused with 2 and what comes nearest', async () => {
  const { code, err } = await run('entry', 'creat');
  assert.equal(code, 2);
  assert.match(err, /did you mean "signet entry create"\?/);
});

test('a command that is not known at all is shown safely', async () => {
  const { code, err } = await run('\x1b[2J');
  assert.equal(code, 2);
  assert.ok(!err.includes('\x1b'));
});

const unusable: readonly (readonly [string, readonly string[]])[] = [
  ['a missing flag', ['entry', 'create', '--spiffe-id', 'spiffe://a/b']],
  ['a missing required flag', ['agent', 'show']],
  ['a malformed SPIFFE ID', ['agent', 'show', '--spiffe-id', 'spiffe://a/../b']],
  ['a malformed selector', ['entry', 'show', '--selector', 'uid']],
  ['a malformed duration', ['token', 'generate', '--ttl', '5 minutes']],
  ['a life of no time', ['token', 'generate', '--ttl', '0']],
  ['a life of a fraction', ['token', 'generate', '--ttl', '1500ms']],
  ['a form that there is not', ['entry', 'show', '-o', 'xml']],
  ['a timeout of nothing', ['entry', 'show', '--timeout', '0s']],
  ['an extra word', ['entry', 'show', 'all']],
  ['two words where one is taken', ['api', 'fetch', 'x509', 'jwt']],
  ['a kind of SVID that there is not', ['api', 'fetch', 'ssh']],
  ['a token without audience', ['api', 'fetch', 'jwt']],
  ['an audience for a certificate', ['api', 'fetch', 'x509', '--audience', 'a']],
  ['neither ID nor file', ['entry', 'delete']],
  ['both ID and file', ['entry', 'delete', '--entry-id', 'a', '--file', 'b']],
  ['an update of nothing', ['entry', 'update', '--entry-id', 'a']],
  ['a parent for a node alias', ['entry', 'create', '--node', '--parent-id', 'spiffe://a/b']],
  ['a socket path of 108 bytes', ['entry', 'show', '--server-socket', `/${'x'.repeat(107)}`]],
  ['an empty socket path', ['entry', 'show', '--server-socket', '']],
  ['an agent at a host name', ['api', 'fetch', '--agent-socket', 'tcp://localhost:1']],
  ['a port that is none', ['dev', '--port', '70000']],
  ['a trust domain in upper case', ['dev', '--trust-domain', 'A']],
  ["SPIRE's flag that we lack", ['entry', 'show', '-instance', 'a']],
  ['a shell that we do not know', ['completion', 'tcsh']],
];

for (const [name, argv] of unusable) {
  test(`${name} is usage: 2, nothing on standard output`, async () => {
    const { code, out, err } = await run(...argv);
    assert.deepEqual([code, out], [2, ''], err);
    assert.match(err, /^signet: .+\n {2}code: CLI_[A-Z_]+.*\n {2}next: .+\n$/s);
  });
}

test('all required flags that are missing are named at once', async () => {
  assert.match((await run('jwt', 'mint')).err, /^signet: needs --spiffe-id, --audience\n/);
  assert.match((await run('jwt', 'mint', '--audience', 'a')).err, /^signet: needs --spiffe-id\n/);
});

test('a word too many is named', async () => {
  assert.match((await run('entry', 'show', 'all')).err, /^signet: "all" is too much: /);
});

const absent: readonly (readonly [string, readonly string[], string])[] = [
  ['server', ['entry', 'show', '--server-socket', '/nowhere/api.sock'], 'CLI_SERVER_UNREACHABLE'],
  ['agent', ['api', 'fetch', '--agent-socket', '/nowhere/api.sock'], 'CLI_AGENT_UNREACHABLE'],
  ['agent', ['healthcheck', 'agent', '-socketPath', '/nowhere/a'], 'CLI_AGENT_UNREACHABLE'],
];

for (const [peer, argv, code] of absent) {
  test(`"${argv[0]} ${argv[1]}" without a ${peer} fails with 1 and says how to start one`, async () => {
    const outcome = await run(...argv);
    assert.equal(outcome.code, 1);
    assert.match(outcome.err, new RegExp(`there is no such socket\n {2}code: ${code}`));
    assert.match(outcome.err, /next: Start an? (server|agent)/);
  });
}

test('global flags may stand before the command', async () => {
  const { code, err } = await run('--server-socket', '/nowhere/x', '-o=json', 'entry', 'show');
  assert.equal(code, 1);
  assert.match(err, /\/nowhere\/x/);
});

test('the socket of a flag wins over the environment, SIGNET_ over SPIFFE_', async () => {
  const env = { SIGNET_AGENT_SOCKET: '/env/signet', SPIFFE_ENDPOINT_SOCKET: 'unix:///env/spiffe' };
  const said = async (argv: string[], given: Readonly<Record<string, string>>) =>
    (await cli(commands, ['api', 'fetch', ...argv], { env: given })).err;
  assert.match(await said(['--agent-socket', '/flag'], env), /at \/flag:/);
  assert.match(await said([], env), /at \/env\/signet:/);
  assert.match(
    await said([], { SPIFFE_ENDPOINT_SOCKET: 'unix:///env/spiffe' }),
    /at \/env\/spiffe:/,
  );
});

for (const shell of ['bash', 'zsh', 'fish']) {
  test(`completion for ${shell} knows every command and flag`, async () => {
    const { code, out } = await run('completion', shell);
    assert.equal(code, 0);
    for (const { path } of commands) {
      for (const word of path.split(' ')) assert.ok(out.includes(word), word);
    }
    assert.match(out, /x509-svid-ttl/);
  });
}

test('version prints for people and for programs', async () => {
  assert.match((await run('version')).out, /^signet \d+\.\d+\.\d+ \(Node\.js /);
  for (const flag of ['--version', '-version']) {
    assert.match((await run(flag)).out, /^signet /);
  }
  assert.match(JSON.parse((await run('version', '-o', 'json')).out).signet, /^\d+\.\d+\.\d+$/);
});
