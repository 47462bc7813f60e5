import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { commands } from '../../src/main/commands.ts';
import { type CliSurroundings, cli } from '../support/cli.ts';
import { type Dev, devFolder, startDev } from '../support/dev.ts';
import { skipUnlessCi } from '../support/shared.ts';

const linux = process.platform === 'linux' ? { skip: false } : skipUnlessCi('needs Linux');
const TRUST = 'spiffe://example.org';
const me = `unix:uid:${process.getuid?.()}`;

/** A server and an agent, and the CLI against them in this process. */
async function rig(context: TestContext) {
  const dev = await startDev(context, '--dir', devFolder(context));
  const env = {
    SIGNET_SERVER_SOCKET: dev.line.adminSocket,
    SPIFFE_ENDPOINT_SOCKET: `unix://${dev.line.workloadSocket}`,
  };
  const signet = (argv: readonly string[], more: CliSurroundings = {}) =>
    cli(commands, argv, { env, ...more });
  const json = async (...argv: string[]) => {
    const { code, out, err } = await signet([...argv, '-o', 'json']);
    assert.equal(code, 0, err);
    return JSON.parse(out);
  };
  return { dev, signet, json, folder: devFolder(context) };
}

const entryFlags = (dev: Dev, path: string, ...more: string[]) => [
  ...['-spiffeID', `${TRUST}${path}`, '-parentID', dev.line.agentId, '-selector', me],
  ...more,
];

test('an entry is created, shown, changed, counted and deleted', linux, async (context) => {
  const { dev, signet, json } = await rig(context);
  const flags = [
    '-dns',
    'web.test',
    '-x509SVIDTTL',
    '60',
    '--jwt-svid-ttl',
    '2m',
    '-hint',
    'inner',
  ];
  const made = await signet(['entry', 'create', ...entryFlags(dev, '/web', ...flags)]);
  assert.equal(made.code, 0, made.err);
  for (const text of [/SPIFFE ID +: .*\/web/, /X509-SVID TTL +: 60s/, /JWT-SVID TTL +: 120s/]) {
    assert.match(made.out, text);
  }
  const { entries } = await json('entry', 'show', '-spiffeID', `${TRUST}/web`);
  assert.equal(entries.length, 1);
  assert.deepEqual(entries[0].dnsNames, ['web.test']);
  const { id } = entries[0];

  const twice = await signet(['entry', 'create', ...entryFlags(dev, '/web')]);
  assert.equal(twice.code, 1);
  assert.match(twice.err, /creating spiffe:\/\/example\.org\/web: .*\(AlreadyExists\)/s);

  // Part of it, then the whole: what SPIRE's users write replaces everything.
  assert.equal((await signet(['entry', 'update', '-entryID', id, '-hint', 'outer'])).code, 0);
  const [partly] = (await json('entry', 'show', '-entryID', id)).entries;
  assert.deepEqual([partly.hint, partly.dnsNames, partly.x509SvidTtl], ['outer', ['web.test'], 60]);
  assert.equal(
    (await signet(['entry', 'update', '-entryID', id, ...entryFlags(dev, '/web')])).code,
    0,
  );
  const [whole] = (await json('entry', 'show', '-entryID', id)).entries;
  assert.deepEqual(
    [whole.hint, whole.dnsNames, whole.x509SvidTtl],
    [undefined, undefined, undefined],
  );

  assert.deepEqual(await json('entry', 'count', '-selector', me), { count: 1 });
  const deleted = await signet(['entry', 'delete', '-entryID', id]);
  assert.deepEqual([deleted.code, deleted.out], [0, `Deleted entry ${id}\n`]);
  const again = await signet(['entry', 'delete', '-entryID', id]);
  assert.equal(again.code, 1);
  assert.match(again.err, /\(NotFound\)/);
  assert.equal((await signet(['entry', 'show'])).out, '0 entries\n');
  assert.deepEqual(await json('entry', 'show'), { entries: [] });
});

test(
  'a batch from standard input tells which items failed, and does the others',
  linux,
  async (context) => {
    const { signet, json, folder } = await rig(context);
    const entry = (path: string) => ({
      spiffe_id: `${TRUST}${path}`,
      parent_id: `${TRUST}/node`,
      selectors: [{ type: 'unix', value: 'uid:1' }],
    });
    const data = JSON.stringify({ entries: [entry('/a'), entry('/spire/reserved'), entry('/b')] });
    const made = await signet(['entry', 'create', '--data', '-'], { stdin: data });
    assert.equal(made.code, 1);
    assert.match(
      made.err,
      /1 of 3 failed\n {2}creating spiffe:\/\/example\.org\/spire\/reserved: /,
    );
    assert.match(made.err, /code: CLI_PARTLY_FAILED/);
    const ids = (await json('entry', 'show')).entries.map(({ id }: { id: string }) => id);
    assert.equal(ids.length, 2);

    // What was shown can be given back, and deleted as a list.
    writeFileSync(join(folder, 'entries.json'), JSON.stringify(await json('entry', 'show')));
    const updated = await signet(['entry', 'update', '--data', join(folder, 'entries.json')]);
    assert.equal(updated.code, 0, updated.err);
    writeFileSync(join(folder, 'ids.json'), JSON.stringify({ ids }));
    assert.equal((await signet(['entry', 'delete', '--file', join(folder, 'ids.json')])).code, 0);
    assert.deepEqual(await json('entry', 'count'), { count: 0 });

    const absent = await signet(['entry', 'create', '--data', join(folder, 'none.json')]);
    assert.match(absent.err, /none\.json does not exist\n {2}code: CLI_FILE/);
  },
);

test('a node alias gives entries to every agent with its selectors', linux, async (context) => {
  const { signet, json } = await rig(context);
  const alias = ['-node', '-spiffeID', `${TRUST}/rack`, '-selector', 'x509pop:subject:cn:a'];
  assert.equal((await signet(['entry', 'create', ...alias])).code, 0);
  const [entry] = (await json('entry', 'show')).entries;
  assert.deepEqual(entry.parentId, { trustDomain: 'example.org', path: '/spire/server' });
});

test('tables and blocks fit 80 columns but for SPIFFE IDs', linux, async (context) => {
  const { dev, signet } = await rig(context);
  await signet(['entry', 'create', ...entryFlags(dev, '/web')]);
  for (const argv of [
    ['agent', 'list'],
    ['entry', 'show'],
    ['api', 'fetch'],
  ]) {
    const { out } = await signet(argv);
    for (const line of out.replace(/spiffe:\S+/g, '').split('\n')) {
      assert.ok(line.length <= 80, line);
    }
  }
});

test('agents are listed, shown and counted', linux, async (context) => {
  const { dev, signet, json } = await rig(context);
  const { agents } = await json('agent', 'list', '-attestationType', 'join_token');
  assert.equal(agents.length, 1);
  assert.deepEqual(await json('agent', 'count', '-banned', 'true'), { count: 0 });
  const shown = await signet(['agent', 'show', '-spiffeID', dev.line.agentId]);
  assert.match(shown.out, /Attested by +: join_token\n/);
  assert.match(shown.out, /Binding +: bearer\n/);
  const { assurance } = await json('agent', 'show', '-spiffeID', dev.line.agentId);
  assert.equal(assurance.method, 'join_token');
  assert.equal(assurance.binding, 'bearer');
  const before = await json('agent', 'count', '-expiresBefore', '2030-01-31T12:00:00Z');
  assert.deepEqual(before, { count: 1 });
  const none = await signet(['agent', 'show', '-spiffeID', `${TRUST}/spire/agent/join_token/x`]);
  assert.equal(none.code, 1);
  assert.match(none.err, /\(NotFound\)/);
});

for (const verb of ['ban', 'evict']) {
  test(
    `after agent ${verb} the agent cannot go on, and signet dev says why`,
    linux,
    async (context) => {
      const { dev, signet } = await rig(context);
      const ended = once(dev.child, 'close');
      const done = await signet(['agent', verb, '-spiffeID', dev.line.agentId]);
      assert.equal(done.code, 0, done.err);
      assert.ok(done.out.includes(dev.line.agentId));
      await ended;
      assert.match(dev.err(), /the agent ended by itself \(exit code 1\)/);
      assert.match(dev.err(), verb === 'ban' ? /BANNED/ : /token/);
    },
  );
}

test(
  'SVIDs minted by hand hold, and keys are readable by their owner alone',
  linux,
  async (context) => {
    const { dev, signet, folder } = await rig(context);
    // Only a process with an identity may have tokens validated.
    await signet(['entry', 'create', ...entryFlags(dev, '/me')]);
    const flags = ['-spiffeID', `${TRUST}/op`, '-dns', 'op.test', '-ttl', '10m'];
    const minted = await signet(['x509', 'mint', ...flags, '-write', join(folder, 'svid')]);
    assert.equal(minted.code, 0, minted.err);
    const read = (name: string) => readFileSync(join(folder, 'svid', name));
    const leaf = new X509Certificate(read('svid.pem'));
    assert.equal(leaf.subjectAltName, `URI:${TRUST}/op, DNS:op.test`);
    assert.ok(leaf.verify(new X509Certificate(read('bundle.pem')).publicKey));
    assert.equal(statSync(join(folder, 'svid/key.pem')).mode & 0o777, 0o600);

    const jwt = ['jwt', 'mint', '-spiffeID', `${TRUST}/op`, '-audience', 'db'];
    const path = join(folder, 'token');
    assert.equal((await signet([...jwt, '-write', path])).code, 0);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const valid = await signet(['api', 'validate', 'jwt', '-audience', 'db', '-svid', '-'], {
      stdin: readFileSync(path, 'utf8'),
    });
    assert.equal(valid.code, 0, valid.err);
    assert.match(valid.out, /SVID is valid\.\nSPIFFE ID : spiffe:\/\/example\.org\/op\n/);
    const wrong = ['api', 'validate', '-audience', 'other', '-svid', readFileSync(path, 'utf8')];
    const refused = await signet(wrong);
    assert.equal(refused.code, 1);
    assert.equal(refused.out, '');
  },
);

test('a process fetches its SVIDs, and is told when it has none', linux, async (context) => {
  const { dev, signet, json, folder } = await rig(context);
  const none = await signet(['api', 'fetch']);
  assert.equal(none.code, 1);
  assert.match(
    none.err,
    /no identity issued\n {2}code: \w+ \(PermissionDenied\)\n {2}next: Create/,
  );

  await signet(['entry', 'create', ...entryFlags(dev, '/web')]);
  const { svids } = await json('api', 'fetch', 'x509');
  assert.equal(svids[0].spiffeId, `${TRUST}/web`);
  const tokens = await json('api', 'fetch', 'jwt', '-audience', 'db', '-spiffeID', `${TRUST}/web`);
  assert.equal(tokens.svids[0].spiffeId, `${TRUST}/web`);
  assert.ok(JSON.parse(tokens.bundles[TRUST]).keys.length > 0);

  const silent = await signet(['api', 'fetch', '-silent', '-write', join(folder, 'out')]);
  assert.deepEqual([silent.code, silent.out, silent.err], [0, '', '']);
  assert.deepEqual(readdirSync(join(folder, 'out')).sort(), [
    'bundle.0.pem',
    'svid.0.key',
    'svid.0.pem',
  ]);
  assert.equal(statSync(join(folder, 'out/svid.0.key')).mode & 0o777, 0o600);
  assert.equal(statSync(join(folder, 'out/svid.0.pem')).mode & 0o777, 0o644);

  // Written again over what was readable by all: the key is not, at any moment.
  chmodSync(join(folder, 'out/svid.0.key'), 0o644);
  await signet(['api', 'fetch', '-write', join(folder, 'out')]);
  assert.equal(statSync(join(folder, 'out/svid.0.key')).mode & 0o777, 0o600);
});

test('watch prints every change until it is interrupted', linux, async (context) => {
  const { dev, signet } = await rig(context);
  await signet(['entry', 'create', ...entryFlags(dev, '/one')]);
  const stop = new AbortController();
  let added = false;
  const watched = await signet(['api', 'watch', '-o', 'json'], {
    signal: stop.signal,
    onOut: (text) => {
      const last = JSON.parse(text.trimEnd().split('\n').at(-1) ?? '');
      if (last.svids.length === 2) stop.abort();
      if (!added) void signet(['entry', 'create', ...entryFlags(dev, '/two')]);
      added = true;
    },
  });
  assert.deepEqual([watched.code, watched.err], [0, '']);
  const updates = watched.out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    updates
      .at(-1)
      .svids.map(({ spiffeId }: { spiffeId: string }) => spiffeId)
      .sort(),
    [`${TRUST}/one`, `${TRUST}/two`],
  );
});

test('health is told by both processes', linux, async (context) => {
  const { signet, json } = await rig(context);
  assert.equal((await signet(['healthcheck', 'server'])).out, 'The server is healthy.\n');
  assert.equal((await signet(['healthcheck', 'agent', '-shallow'])).out, 'The agent is healthy.\n');
  assert.deepEqual(await json('healthcheck', 'server'), { status: 'SERVING' });
});

test('the bundle is printed as PEM, as SPIFFE document and as JSON', linux, async (context) => {
  const { dev, signet, json } = await rig(context);
  const pem = await signet(['bundle', 'show']);
  assert.equal(pem.out, readFileSync(dev.line.bundlePath, 'utf8'));
  const document = JSON.parse((await signet(['bundle', 'show', '-format', 'spiffe'])).out);
  const uses = document.keys.map(({ use }: { use: string }) => use);
  assert.deepEqual(uses, ['x509-svid', 'jwt-svid']);
  assert.equal((await json('bundle', 'show')).trustDomain, 'example.org');
});

test('join tokens name their end, and a second token differs', linux, async (context) => {
  const { signet, json } = await rig(context);
  const { out } = await signet(['token', 'generate', '-ttl', '60', '-spiffeID', `${TRUST}/node`]);
  assert.match(out, /^Token: [0-9a-f-]{36}\nExpires: .*\(in (59s|1m)\)\n$/);
  assert.notEqual((await json('token', 'generate')).value, (await json('token', 'generate')).value);
});

test(
  'a join token that is written to a file is all that the file holds, 0600',
  linux,
  async (context) => {
    const { signet, folder } = await rig(context);
    const path = join(folder, 'join-token');
    const { out, err } = await signet(['token', 'generate', '--write', path]);
    assert.equal(out, '');
    assert.match(err, /^Join token written to .*join-token; expires /);
    assert.match(readFileSync(path, 'utf8'), /^[0-9a-f-]{36}\n$/);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  },
);

test(
  'an authority is prepared, activated, tainted and revoked, in both spellings',
  linux,
  async (context) => {
    const { signet, json } = await rig(context);
    for (const kind of ['x509', 'jwt'] as const) {
      const act = ['localauthority', kind];
      const { active } = await json(...act, 'show');
      const prepared = (await json(...act, 'prepare')).preparedAuthority;
      assert.deepEqual((await json(...act, 'show')).prepared, prepared);
      const done = await signet([...act, 'activate', '-authorityID', prepared.authorityId]);
      assert.equal(done.code, 0, done.err);
      assert.match(done.out, new RegExp(`^Activated .* ${prepared.authorityId}, expires `));

      const early = await signet([...act, 'revoke', '--authority-id', active.authorityId]);
      assert.equal(early.code, 1);
      assert.match(early.err, /is old, .*taint it first/);
      assert.match(early.err, /code: AUTHORITY_WRONG_STATE \(FailedPrecondition\)\n {2}next: \S/);
      const signing = await signet([...act, 'taint', '--authority-id', prepared.authorityId]);
      assert.match(signing.err, /it signs; prepare and activate another first/);

      const tainted = await json(...act, 'taint', '--authority-id', active.authorityId);
      assert.deepEqual(tainted, { taintedAuthority: { authorityId: active.authorityId } });
      const table = (await signet([...act, 'show'])).out;
      assert.match(table, /^STATE +EXPIRES +AUTHORITY ID\n/);
      assert.match(table, new RegExp(`^active .* ${prepared.authorityId}$`, 'm'));
      assert.match(table, new RegExp(`^tainted .* ${active.authorityId}$`, 'm'));

      const revoked = await signet([...act, 'revoke', '-authorityID', active.authorityId]);
      assert.equal(revoked.out.trimEnd().endsWith(active.authorityId), true, revoked.err);
      assert.equal((await json(...act, 'show')).old, undefined);
    }
    const bundle = await json('bundle', 'show');
    assert.equal(bundle.x509Authorities.length, 1);
    assert.equal(bundle.jwtAuthorities.length, 1);
    for (const [argv, code] of [
      [['activate', '--authority-id', 'nobody'], 1],
      [['activate'], 2],
      [['taint', '--authority-id', ''], 1],
    ] as const) {
      assert.equal((await signet(['localauthority', 'x509', ...argv])).code, code);
    }
  },
);
