import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { adminRig } from '../../test/support/connector-admin.ts';
import { temporaryFolder } from '../../test/support/rpc.ts';
import { START_SECONDS } from '../../test/support/state.ts';
import { makeKey } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';

/** Every line fits a terminal of 80 columns. */
function assertFits(out: string): void {
  for (const line of out.split('\n')) assert.ok([...line].length <= 80, line);
}

test('from nothing to a list of connectors, in tables of 80 columns', async (context) => {
  const { signet, enrol, sessions } = await adminRig(context);
  const run = async (...argv: string[]): Promise<string> => {
    const { code, out, err } = await signet(['connector', ...argv]);
    assert.equal(code, 0, err);
    assertFits(out);
    return out;
  };
  assert.equal(await run('group', 'list'), '0 groups\n');
  assert.equal(await run('list'), '0 connectors\n');
  const proofs = ['--proof', 'provisioning-key', '--proof', 'bound-key', '--max-instances', '4'];
  assert.equal(await run('group', 'create', 'db', ...proofs), 'Created group db\n');
  const clients = ['--client', 'spiffe://example.org/shop/*', '--host', '*.internal.example.org'];
  const where = [
    '--group',
    'db',
    '--host',
    'db.example.org',
    '--port',
    '5432',
    '--port',
    '6000-6010',
  ];
  assert.equal(
    await run('segment', 'create', 'orders', ...where, ...clients),
    'Created segment orders\n',
  );
  assert.equal(
    await run('segment', 'list'),
    [
      '1 segment',
      '',
      'SEGMENT  HOSTS              PORTS                    SERVED BY  HEALTHY  STATE',
      'orders   db.example.org +1  5432/tcp, 6000-6010/tcp  db         0        thin',
      '',
    ].join('\n'),
  );
  assert.equal(
    await run('segment', 'show', 'orders'),
    [
      'Segment      : orders',
      'State        : thin',
      'Hosts        : db.example.org',
      'Hosts        : *.internal.example.org',
      'Ports        : 5432/tcp, 6000-6010/tcp',
      'Clients      : spiffe://example.org/shop/*',
      'Named groups : db',
      'Served by    : db',
      'Upstream     : as it is',
      'Health check : none',
      'Healthy      : 0 connectors',
      'Priority     : 0',
      'Revision     : 2',
      '',
    ].join('\n'),
  );
  await enrol('db-7d4f', 'db');
  await enrol('db-c2k9', 'db');
  sessions.say('db-7d4f', { activeFlows: 12n });
  assert.equal(
    await run('list'),
    [
      '2 connectors',
      '',
      'CONNECTOR  GROUP  STATE     HEARD  CERT  FLOWS  REASON',
      'db-7d4f    db     active    0s     1h    12',
      'db-c2k9    db     enrolled  never  1h    0',
      '',
    ].join('\n'),
  );
  assert.equal(
    await run('group', 'list'),
    [
      '1 group',
      '',
      'GROUP  ACTIVE  LIMITS  SEGMENTS  THIN  FLOWS  CERT  LAST ERROR',
      'db     1/2     0-4     1         1     0',
      '',
    ].join('\n'),
  );
  assert.match(
    await run('show', 'db-7d4f'),
    /^SPIFFE ID {8}: spiffe:\/\/example.org\/connector\/db\/db-7d4f$/m,
  );
  assert.match(
    await run('group', 'show', 'db'),
    /^Connectors {7}: 1 active\nConnectors {7}: 1 enrolled$/m,
  );
  const flow = [
    'db.example.org:5432',
    '--group',
    'db',
    '--client',
    'spiffe://example.org/shop/web',
  ];
  assert.equal(
    await run('segment', 'explain', ...flow),
    'Flow     : allowed\nSegment  : orders\nReason   : the segment allows it\n',
  );
  assert.match(
    await run('segment', 'explain', '[2001:db8::1]:5432', '--group', 'db'),
    /^Flow {5}: refused\nReason {3}: no segment of the group lists it\n/,
  );
});

test('an update changes what its flags name and nothing else', async (context) => {
  const { signet, registry } = await adminRig(context);
  const run = async (...argv: string[]) => {
    const { code, err } = await signet(['connector', ...argv]);
    assert.equal(code, 0, err);
  };
  await run(
    ...['group', 'create', 'db', '--proof', 'kubernetes-token', '--service-account', 'a/b'],
    ...[
      '--service-account',
      'rack/a/c',
      '--zone',
      '1',
      '--select',
      'tier=data',
      '--svid-ttl',
      '1h',
    ],
    ...[
      '--assurance',
      'tpm',
      '--require-attested-node',
      'true',
      '--update-window',
      '02:00-03:00 UTC',
    ],
  );
  const before = registry.connectors.group('db');
  await run('group', 'update', 'db', '--max-instances', '3');
  const { revision: _r, ...after } = registry.connectors.group('db') ?? assert.fail();
  const { revision: _b, ...was } = before ?? assert.fail();
  assert.deepEqual(after, { ...was, maxInstances: 3 });
  assert.deepEqual(was.serviceAccounts, [
    { cluster: '', namespace: 'a', name: 'b' },
    { cluster: 'rack', namespace: 'a', name: 'c' },
  ]);
  await run(
    ...[
      'group',
      'update',
      'db',
      '--clear',
      'zone',
      '--clear',
      'select',
      '--clear',
      'update-window',
    ],
    ...['--assurance', 'none', '--require-attested-node', 'false'],
  );
  const cleared = registry.connectors.group('db');
  assert.deepEqual(
    [cleared?.zones, cleared?.segmentSelector, cleared?.updateWindow, cleared?.assurance],
    [[], {}, '', undefined],
  );
  assert.equal(cleared?.requireAttestedNode, false);
  assert.equal(cleared?.svidTtlSeconds, 3600);
});

test('what is printed as JSON, or written as YAML, is read back', async (context) => {
  const { signet, registry } = await adminRig(context);
  const yaml = [
    'groups:',
    '  - name: db',
    '    proofs: [kubernetes-token]',
    '    serviceAccounts: [connectors/db, {cluster: rack, namespace: a, name: b}]',
    '    svidTtlSeconds: 1h',
    '  - {name: web, proofs: [bound-key]}',
  ].join('\n');
  const made = await signet(['connector', 'group', 'create', '-f', '-'], { stdin: yaml });
  assert.equal(made.out, 'Created group db\nCreated group web\n', made.err);
  assert.equal(registry.connectors.group('db')?.svidTtlSeconds, 3600);
  const segments = JSON.stringify({
    id: 'orders',
    hosts: ['db.example.org'],
    protocol: 'tcp',
    ports: [5432, '8000-8010', { first: 9000, last: 9001 }],
    healthCheck: 'on-access',
    groups: ['db'],
  });
  const one = await signet(['connector', 'segment', 'create', '--data', '-'], { stdin: segments });
  assert.equal(one.code, 0, one.err);
  for (const noun of ['group', 'segment']) {
    const { out } = await signet(['connector', noun, 'list', '-o', 'json']);
    const back = await signet(['connector', noun, 'update', '-f', '-'], { stdin: out });
    assert.equal(back.code, 0, back.err);
    const after = JSON.parse((await signet(['connector', noun, 'list', '-o', 'json'])).out);
    for (const item of JSON.parse(out)[`${noun}s`]) {
      const { revision: _was, ...same } = item;
      const again = after[`${noun}s`].find((other: { spec: object }) => {
        return JSON.stringify(other.spec) === JSON.stringify(item.spec);
      });
      const { revision: _is, ...now } = again;
      assert.deepEqual(now, same);
    }
  }
});

test('a file that is no file of groups is refused, and says where', async (context) => {
  const { signet, registry } = await adminRig(context);
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /no object/],
    ['[]', /no object/],
    ['groups: []', /no list, or is empty/],
    ['{"groups":[{"name":"a","nmae":"b"}]}', /groups\[0\]: unknown key "nmae"/],
    ['{"groups":[{"name":"a"},{"name":1}]}', /groups\[1\]: name must be a string/],
    ['{"groups":[{"name":"a","name":"b"}]}', /Map keys must be unique/],
    ['{"groups":[{"name":"a","maxInstances":4294967296}]}', /maxInstances must be a whole number/],
    ['{"groups":[{"name":"a","maxInstances":-1}]}', /maxInstances must be a whole number/],
    ['{"groups":[{"name":"a","serviceAccounts":["a"]}]}', /serviceAccounts must be a list of/],
    ['{"groups":[{"name":"a","__proto__":{"x":"y"}}]}', /unknown key "__proto__"/],
    ['{"name":"a","toString":1}', /unknown key "toString"/],
    ['a: &a [1]\nb: *a', /CLI_DATA_INVALID/],
    ['\u0000', /CLI_DATA_INVALID/],
    ['{', /CLI_DATA_INVALID/],
  ];
  for (const [stdin, message] of cases) {
    const { code, err } = await signet(['connector', 'group', 'create', '-f', '-'], { stdin });
    assert.equal(code, 1, stdin);
    assert.match(err, /code: CLI_DATA_INVALID/, stdin);
    assert.match(err, message, stdin);
  }
  assert.deepEqual([...registry.connectors.groups()], []);
  const both = await signet(['connector', 'group', 'create', 'db', '-f', '-'], { stdin: '{}' });
  assert.match(both.err, /code: CLI_USAGE/);
});

test('of several in a file each is told by itself', async (context) => {
  const { signet } = await adminRig(context);
  const stdin = 'groups: [{name: db}, {name: B_D}, {name: web}]';
  const { code, out, err } = await signet(['connector', 'group', 'create', '-f', '-'], { stdin });
  assert.equal(code, 1);
  assert.equal(out, 'Created group db\nCreated group web\n');
  assert.match(err, /1 of 3 failed/);
  assert.match(err, /writing group B_D/);
});

test('a provisioning key is printed once, or written where only its owner reads it', async (context) => {
  const { signet } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'provisioning-key']);
  const create = ['connector', 'key', 'create', '--group', 'db', '--ttl', '2h', '--max-uses', '3'];
  const printed = await signet([...create, '--cidr', '10.0.0.0/8', '--description', 'rack 7']);
  assert.match(printed.out, /^Key: {2}sck1\.[a-z2-7]{10}\.\S{43}\nUses: 3\nEnds: .* \(in 2h\)\n$/);
  const file = join(temporaryFolder(context), 'key');
  const written = await signet([...create, '--write', file]);
  assert.equal(written.out, '');
  assert.match(readFileSync(file, 'utf8'), /^sck1\.\S+\n$/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { out } = await signet(['connector', 'key', 'list', '--group', 'db']);
  assertFits(out);
  const secret = printed.out.split('.')[2]?.slice(0, 43) ?? assert.fail();
  assert.ok(!out.includes(secret));
  assert.match(out, /^KEY {9}GROUP {2}USED {2}ENDS IN {2}FROM {8}DESCRIPTION$/m);
  assert.match(out, / db {5}0\/3 {3}2h {7}10\.0\.0\.0\/8 {2}rack 7$/m);
  const unused = await signet(['connector', 'group', 'create', 'web', '--proof', 'bound-key']);
  assert.equal(unused.code, 0);
  const useless = await signet(['connector', 'key', 'create', '--group', 'web']);
  assert.match(useless.err, /^note: group web does not take provisioning keys/);
});

test('a bound key is registered from its public half, and deleted by the beginning of its ID', async (context) => {
  const { signet } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  const folder = temporaryFolder(context);
  const key = makeKey();
  const file = (name: string, pem: string | Buffer): string => {
    writeFileSync(join(folder, name), pem);
    return join(folder, name);
  };
  const spki = Buffer.from(key.spki).toString('base64');
  const good = file('pub', `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`);
  const register = ['connector', 'bound-key', 'register', '--group', 'db', '--connector', 'db-1'];
  const secret = key.privateKey.export({ type: 'pkcs8', format: 'pem' });
  for (const bad of [
    secret,
    '',
    'x',
    `${readFileSync(good, 'utf8')}${readFileSync(good, 'utf8')}`,
  ]) {
    const { code, err } = await signet([...register, '--public-key', file('bad', bad)]);
    assert.equal(code, 2, err);
    assert.match(err, /--public-key/);
  }
  const { out, err } = await signet([...register, '--public-key', good, '--max-recoveries', '2']);
  assert.match(out, /^Registered key [0-9a-f]{64}\nof connector db-1\n$/, err);
  const listed = await signet(['connector', 'bound-key', 'list']);
  assertFits(listed.out);
  assert.match(listed.out, / db {5}db-1 {7}0\/2$/m);
  const id = /[0-9a-f]{16}/.exec(listed.out)?.[0] ?? assert.fail();
  const deleted = await signet(['connector', 'bound-key', 'delete', id.slice(0, 8)]);
  assert.equal(deleted.code, 0, deleted.err);
  const again = await signet(['connector', 'bound-key', 'delete', id]);
  assert.match(again.err, /code: CONNECTOR_KEY_NOT_FOUND/);
});

test('a whole group is revoked only when somebody says so', async (context) => {
  const { signet, enrol, revoked } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  for (const id of ['c1', 'c2', 'c3']) await enrol(id, 'db');
  const revoke = ['connector', 'revoke', '--group', 'db', '--reason', 'key leaked'];
  for (const answer of [undefined, '', 'y', 'no', 'yes, but']) {
    const asked: string[] = [];
    const ask = (question: string): string => {
      asked.push(question);
      return answer ?? '';
    };
    const refused = await signet(revoke, answer === undefined ? {} : { answer: ask });
    assert.equal(refused.code, 1);
    assert.match(refused.err, /code: CONNECTOR_UNCONFIRMED/);
    if (answer !== undefined) {
      assert.deepEqual(asked, ['Revoke 3 connectors of group db for good? [yes/no] ']);
    }
  }
  assert.deepEqual(revoked, []);
  const one = await signet(['connector', 'revoke', 'c2', '--reason', 'node lost']);
  assert.equal(one.out, 'Revoked 1 connector: c2\n');
  const all = await signet([...revoke, '--yes']);
  assert.equal(all.code, 0, all.err);
  assert.deepEqual([...revoked].sort(), ['c1', 'c2', 'c3']);
  const bare = await signet(['connector', 'revoke', '--reason', 'x', '--yes']);
  assert.match(bare.err, /code: CLI_USAGE/);
  assert.match((await signet(['connector', 'revoke', 'c1'])).err, /needs --reason/);
});

test('a drain waits until the connectors have left, and tells how it goes', async (context) => {
  const { signet, enrol, sessions, registry } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  for (const id of ['c1', 'c2']) {
    await enrol(id, 'db');
    sessions.say(id, { activeFlows: 2n });
  }
  const drain = ['connector', 'drain', '--group', 'db', '--wait', '--within', '1m'];
  const waiting = signet([...drain, '--reason', 'maintenance']);
  // Each leaves when the command has begun to follow: the watcher is there.
  while (sessions.watchers === 0) await new Promise((resolve) => setImmediate(resolve));
  for (const id of ['c1', 'c2']) {
    const change = { kind: 'stopped', atSeconds: START_SECONDS, reason: '' } as const;
    unwrap(await registry.connectors.changeConnector(id, change));
    sessions.end(id);
  }
  const { code, out, err } = await waiting;
  assert.equal(code, 0, err);
  assert.equal(out, 'Draining 2 connectors: c1, c2\n');
  assert.match(err, /^2 of 2 drained, 0 flows open$/m);
});

test('a drain that somebody takes back, or of whom nobody hears, does not wait for ever', async (context) => {
  const { signet, enrol, sessions, registry } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  await enrol('c1', 'db');
  sessions.say('c1', { activeFlows: 1n });
  const waiting = signet(['connector', 'drain', 'c1', '--wait', '--within', '1h']);
  while (sessions.watchers === 0) await new Promise((resolve) => setImmediate(resolve));
  unwrap(await registry.connectors.changeConnector('c1', { kind: 'resumed' }));
  const { code, err } = await waiting;
  assert.equal(code, 1);
  assert.match(err, /1 of 1 have not left\n {2}c1 is active, 1 flow open/);
});

test('a watch prints a line for each change that people see', async (context) => {
  const { signet, enrol, sessions } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  await enrol('c1', 'db');
  const until = async (argv: readonly string[], wanted: RegExp, act: () => void) => {
    const end = new AbortController();
    let acted = false;
    const onOut = (text: string): void => {
      if (wanted.test(text)) end.abort();
      else if (!acted && text.includes('c1')) {
        acted = true;
        act();
      }
    };
    const nowMs = START_SECONDS * 1000;
    return signet(argv, { signal: end.signal, onOut, nowMs });
  };
  const watch = ['connector', 'watch', '--group', 'db'];
  const people = await until(watch, /degraded/, () => {
    sessions.say('c1');
    sessions.say('c1', { health: 'degraded', reason: 'disk \u001b[2J full' });
  });
  assert.equal(people.code, 0, people.err);
  assert.match(people.out, /^00:00:00 {2}c1 {2}db {2}enrolled$/m);
  assert.match(people.out, /^00:00:00 {2}c1 {2}db {2}degraded: disk \\u001b\[2J full$/m);
  assertFits(people.out);
  const programs = await until([...watch, '-o', 'json'], /"active"/, () => sessions.say('c1'));
  for (const line of programs.out.trim().split('\n')) assert.ok(JSON.parse(line));
  assert.match(programs.out, /"initialDone":true/);
});

test('what connectors say of themselves cannot write to the terminal', async (context) => {
  const { signet, enrol, sessions } = await adminRig(context);
  await signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  await enrol('c1', 'db');
  const evil = '\u001b]0;owned\u0007\u202e\u2028\r\n-----\u009b31m';
  sessions.say('c1', {
    health: 'degraded',
    reason: evil,
    lastNack: evil,
    segmentHealth: () => [{ segmentId: evil, target: evil, health: 2, latencyMs: 1, error: evil }],
  });
  for (const argv of [
    ['list'],
    ['show', 'c1'],
    ['list', '-o', 'json'],
    ['show', 'c1', '-o', 'json'],
  ]) {
    const { code, out } = await signet(['connector', ...argv]);
    assert.equal(code, 0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal.
    const unsafe = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u2028]/;
    assert.doesNotMatch(out, unsafe, argv.join(' '));
    assert.ok(!out.split('\n').some((line) => line.startsWith('-----')));
  }
});

test('long names and many facts still fit 80 columns', async (context) => {
  const { signet, enrol, sessions } = await adminRig(context);
  const group = 'g'.repeat(63);
  const id = 'c'.repeat(63);
  await signet(['connector', 'group', 'create', group, '--proof', 'bound-key']);
  await enrol(id, group);
  sessions.say(id, { health: 'degraded', reason: 'r'.repeat(1024), activeFlows: 2n ** 63n });
  const host = `${'h'.repeat(60)}.${'o'.repeat(60)}.example.org`;
  const segment = ['segment', 'create', 's'.repeat(253), '--group', group, '--host', host];
  const ports = Array.from({ length: 64 }, (_, i) => ['--port', `${i + 1}`]).flat();
  const made = await signet(['connector', ...segment, ...ports]);
  assert.equal(made.code, 0, made.err);
  for (const argv of [['list'], ['group', 'list'], ['segment', 'list']]) {
    const { out } = await signet(['connector', ...argv]);
    assertFits(out);
    assert.match(out, /…/);
  }
});

test('a command line that means nothing is refused before anything is asked', async (context) => {
  const { signet } = await adminRig(context);
  for (const argv of [
    ['show'],
    ['show', 'a', 'b'],
    ['drain'],
    ['drain', 'c1', '--group', 'db'],
    ['upgrade', 'c1'],
    ['upgrade', 'c1', '--to', '2', '--not-before', '5'],
    ['segment', 'explain', 'db.example.org', '--group', 'db'],
    ['segment', 'explain', 'db.example.org:0', '--group', 'db'],
    ['segment', 'explain', 'db.example.org:65536', '--group', 'db'],
    ['segment', 'create', 'x', '--port', '1-2-3'],
    ['segment', 'create', 'x', '--priority', '4294967296'],
    ['group', 'create', 'x', '--clear', 'zone'],
    ['group', 'update', 'x', '--clear', 'name'],
    ['segment', 'create', 'x', '--clear', 'port'],
    ['segment', 'update', 'x', '--clear', 'id'],
    ['group', 'create', 'x', '--select', 'novalue'],
    ['key', 'create', '--group', 'db', '--max-uses', '0'],
    ['key', 'create', '--group', 'db', '--ttl', '0'],
  ]) {
    const refused = await signet(['connector', ...argv], {
      env: { SIGNET_SERVER_SOCKET: '/nowhere' },
    });
    assert.equal(refused.code, 2, `${argv.join(' ')}: ${refused.err}`);
    assert.match(refused.err, /code: CLI_USAGE/);
  }
});
