import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERRORS } from '../../src/base/errors.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { devFolder, eventually, lives, SIGNET } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { run } from '../support/processes.ts';
import { ask, assertStatus, wireEntry } from '../support/server.ts';
import { asRoot, fill, mountSmall } from '../support/small-disk.ts';
import { makeCsr } from '../support/x509.ts';
import { Clients, NO_RATE_LIMITS } from './field.ts';

test(
  'A13 a full disk refuses registration and, since nothing can be recorded, issuance; room ends it',
  asRoot,
  async (context) => {
    const fleet = await Fleet.start({ serverOnly: true });
    await fleet.stopServer();
    const data = join(fleet.dir, 'server/data');
    rmSync(data, { recursive: true });
    mountSmall(context, data, '8m');
    context.after(() => fleet.stop());
    writeFileSync(join(fleet.dir, 'server.yaml'), NO_RATE_LIMITS, { flag: 'a' });
    await fleet.startServer();
    const { serverPid } = fleet;
    const clients = new Clients(fleet);
    context.after(() => clients.close());
    const admin = clients.admin();
    const agent = await clients.attest();
    const register = (path: string) => {
      const spiffeId = { trustDomain: 'example.org', path };
      const parentId = { trustDomain: 'example.org', path: agent.path };
      const entries = [wireEntry({ spiffeId, parentId, hint: 'h'.repeat(1000) })];
      return ask(admin, EntryService.batchCreateEntry, { entries, outputMask: undefined });
    };
    const first = await register('/first');
    const free = fill(data);
    const answered = ['/first'];
    let refusal: { code: number; message: string } | undefined;
    for (let index = 0; refusal === undefined; index++) {
      assert.ok(index < 10_000, 'it fills up');
      const { results } = await register(`/${index}`);
      const status = results[0]?.status;
      if (status?.code === 0) answered.push(`/${index}`);
      else refusal = status;
    }
    assert.equal(refusal.code, 8, 'ResourceExhausted');
    assert.match(refusal.message, /full|space/);
    const { code, stderr } = await fleet.cli(
      ...['entry', 'create', '--spiffe-id', 'spiffe://example.org/cli', '--selector', 'unix:uid:1'],
      ...['--parent-id', `spiffe://example.org${agent.path}`],
    );
    assert.equal(code, 1);
    assert.match(stderr, /^ {2}next: ./m);
    const params = [{ entryId: first.results[0]?.entry?.id ?? '', csr: Buffer.from(makeCsr()) }];
    const client = await clients.tcp(agent);
    const issue = () => ask(client, SVIDService.batchNewX509Svid, { params });
    // A few records find room in the last block of the ledger.
    let [refused] = (await issue()).results;
    for (let index = 0; index < 50 && refused?.status?.code === 0; index++) {
      [refused] = (await issue()).results;
    }
    assert.equal(refused?.status?.code, 8, 'nothing is signed that is not on record');
    assert.match(refused.status.message, /no space/);
    assert.equal(refused.svid, undefined);
    assert.equal(fleet.serverPid, serverPid);
    assert.ok(lives(serverPid));

    free();
    const again = await register('/after');
    assert.equal(again.results[0]?.status?.code, 0, again.results[0]?.status?.message ?? '');
    answered.push('/after');
    assert.equal((await issue()).results[0]?.status?.code, 0, 'issuance goes on by itself');
    await fleet.stopServer('SIGKILL');
    await fleet.startServer();
    const { entries } = (await fleet.json('entry', 'show')) as {
      entries: { spiffeId: { path: string } }[];
    };
    assert.deepEqual(entries.map(({ spiffeId }) => spiffeId.path).sort(), answered.sort());
  },
);

test(
  'A13 a server that cannot write its first key does not start and leaves no half of one',
  asRoot,
  async (context) => {
    const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
    const keys = join(dir, 'data/keys');
    mkdirSync(join(dir, 'data'), { mode: 0o700 });
    mountSmall(context, keys, '16k');
    context.after(() => rmSync(dir, { recursive: true, force: true }));
    const free = fill(keys);
    const flags = {
      'trust-domain': 'example.org',
      'bind-address': '127.0.0.1',
      'server-port': '0',
      'data-dir': join(dir, 'data'),
      'socket-path': join(dir, 'admin/api.sock'),
      config: join(dir, 'server.yaml'),
    };
    writeFileSync(flags.config, '');
    const argv = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    const { code, stderr } = await run(SIGNET, ['server', 'run', ...argv]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /\n {2}code: DISK_FULL /);
    assert.ok(stderr.includes(ERRORS.DISK_FULL.action));
    assert.deepEqual(readdirSync(keys), ['ballast']);
    free();
    const limit = ['-k', '1', '-s', 'TERM', '3', SIGNET, 'server', 'run', ...argv];
    const second = await run('timeout', limit);
    assert.match(second.stderr, /"server is ready"/);
    assert.ok(readdirSync(keys).length >= 2);
  },
);

test(
  'A13 a rotation that finds the disk full keeps the old key, and is made up for',
  asRoot,
  async (context) => {
    const dir = devFolder(context);
    const fleet = await Fleet.start({ serverOnly: true, caTtl: '12s', x509SvidTtl: '1s' });
    await fleet.stopServer();
    rmSync(join(fleet.dir, 'server/data'), { recursive: true });
    mkdirSync(join(fleet.dir, 'server/data'), { mode: 0o700 });
    const keys = join(fleet.dir, 'server/data/keys');
    mountSmall(context, keys, '64k');
    context.after(() => fleet.stop());
    await fleet.startServer();
    const before = readdirSync(keys).sort();
    const contents = before.map((name) => readFileSync(join(keys, name)));
    const free = fill(keys);
    await eventually(() => fleet.log('server').includes('"code":"DISK_FULL"'), 30_000);
    const minted = await fleet.cli(
      'x509',
      'mint',
      '--spiffe-id',
      'spiffe://example.org/x',
      '--write',
      dir,
    );
    assert.equal(minted.code, 0, minted.stderr);
    assert.deepEqual(
      readdirSync(keys)
        .filter((name) => name !== 'ballast')
        .sort(),
      before,
      'nothing half-written',
    );
    assert.deepEqual(
      before.map((name) => readFileSync(join(keys, name))),
      contents,
    );
    free();
    await eventually(
      () => /"slot":"x509-CA-B".*authority (prepared|active)/.test(fleet.log('server')),
      30_000,
    );
  },
);

test(
  'A13 an agent whose disk is full says so; with room it joins by the same token',
  asRoot,
  async (context) => {
    const fleet = await Fleet.start({ serverOnly: true });
    const clients = new Clients(fleet);
    context.after(() => clients.close());
    const token = await clients.token();
    const data = join(fleet.dir, 'a');
    mountSmall(context, data, '32k');
    context.after(() => fleet.stop());
    const free = fill(data);
    const argv = [
      ...['agent', 'run', '--trust-domain', 'example.org', '--data-dir', data],
      ...[
        '--server-address',
        '127.0.0.1',
        '--server-port',
        `${fleet.port}`,
        '--insecure-bootstrap',
      ],
      ...['--socket-path', join(fleet.dir, 'w/api.sock'), '--join-token', token],
    ];
    const full = await run('timeout', ['-k', '1', '-s', 'TERM', '2', SIGNET, ...argv]);
    assert.match(full.stderr, /"code":"DISK_FULL"/);
    assert.doesNotMatch(
      full.stderr,
      /"attested"/,
      'the token is not spent on a key that may be lost',
    );
    assert.doesNotMatch(full.stderr, /\n\s+at |"stack"/);
    free();
    const second = await run('timeout', ['-k', '1', '-s', 'TERM', '4', SIGNET, ...argv]);
    assert.match(second.stderr, /"agent is ready"/, second.stderr);
    const { agents } = (await fleet.json('agent', 'list')) as { agents: unknown[] };
    assert.equal(agents.length, 1);
    await assertStatus(
      ask(clients.admin(), EntryService.getEntry, { id: 'none', outputMask: undefined }),
      'ENTRY_NOT_FOUND',
    );
  },
);
