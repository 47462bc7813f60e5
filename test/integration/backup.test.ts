import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { commands } from '../../src/main/commands.ts';
import { backUp, codeOf, passphraseFlags, restore, stateCommand } from '../support/backup.ts';
import { cli } from '../support/cli.ts';
import {
  ask,
  assertStatus,
  attest,
  type TestAgent,
  TestServer,
  TRUST_DOMAIN,
} from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';

const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });

let server: TestServer;
let agent: TestAgent;
let entryId: string;
let dataDir: string;

before(async () => {
  server = await TestServer.start();
  dataDir = server.config.dataDir;
  agent = await server.attest();
  entryId = (await server.register({ spiffeId: td('/web'), parentId: td(agent.path) })).id;
});

after(() => server.stop());

async function issue(): Promise<string> {
  const params = [{ entryId, csr: Buffer.from(makeCsr()) }];
  const client = await server.tcp(agent);
  const { results } = await ask(client, SVIDService.batchNewX509Svid, { params });
  assert.equal(results[0]?.status?.code, 0, results[0]?.status?.message ?? 'none');
  return results[0].svid?.certChain[0]?.toString('hex') ?? '';
}

/** Sets the data directory aside, as an operator does before a restore. */
function setAside(name: string): string {
  const aside = join(server.dir, name);
  renameSync(dataDir, aside);
  return aside;
}

const bundle = () => ask(server.admin(), BundleService.getBundle, { outputMask: undefined });

const entry = () =>
  ask(server.admin(), EntryService.getEntry, { id: entryId, outputMask: undefined });

describe('a backup', () => {
  test('of a running server is one whole file of its owner, and verifies', async () => {
    await issue();
    const made = await backUp(server, 'running.backup');
    assert.equal(statSync(made.file).mode & 0o777, 0o600);
    assert.equal(statSync(made.file).size, made.bytes);
    assert.equal(made.trustDomain, TRUST_DOMAIN);
    assert.equal(made.keys, 'none');
    assert.deepEqual(made.unknown, []);
    const verified = await cli(commands, ['backup', 'verify', made.file, '-o', 'json']);
    const { unknown: _, ...same } = made;
    assert.deepEqual(JSON.parse(verified.out), same);
    const shown = await cli(commands, ['backup', 'verify', made.file]);
    assert.match(shown.out, /^Trust domain : example\.org$/m);
    assert.deepEqual(
      readdirSync(server.dir).filter((name) => name.startsWith('.')),
      [],
      'no work is left over',
    );
  });

  test('of a stopped server holds the same', async () => {
    await server.halt();
    const first = await backUp(server, 'stopped-1.backup');
    const second = await backUp(server, 'stopped-2.backup');
    assert.deepEqual(first.ledger, second.ledger);
    assert.equal(first.bytes, second.bytes);
    await server.restart();
  });

  test('is never written over another file, nor into the data directory', async () => {
    await backUp(server, 'once.backup');
    const again = (output: string) => stateCommand(dataDir, 'backup', 'create', '--output', output);
    assert.equal(codeOf(await again(join(server.dir, 'once.backup'))), 'BACKUP_EXISTS');
    assert.equal(codeOf(await again(join(dataDir, 'server.sqlite'))), 'BACKUP_EXISTS');
    assert.equal(codeOf(await again(join(dataDir, 'x.backup'))), 'FILE_UNWRITABLE');
    assert.equal(codeOf(await again(join(server.dir, 'no/such/x.backup'))), 'FILE_UNWRITABLE');
  });

  test('of another trust domain, or of nothing, is refused', async () => {
    const output = join(server.dir, 'none.backup');
    const create = (...flags: string[]) =>
      cli(commands, ['backup', 'create', '--output', output, ...flags]);
    const foreign = ['--data-dir', dataDir, '-trustDomain', 'other.org'];
    assert.equal(codeOf(await create(...foreign)), 'STORE_FOREIGN');
    const absent = ['-dataDir', join(server.dir, 'no'), '--trust-domain', TRUST_DOMAIN];
    assert.equal(codeOf(await create(...absent)), 'STATE_ABSENT');
    assert.equal(existsSync(output), false);
  });

  test('I10 holds no private key unless asked, and then none in the clear', async () => {
    const flags = passphraseFlags(server);
    const { file } = await backUp(server, 'plain.backup');
    const sealed = await backUp(server, 'keys.backup', '--include-keys', ...flags);
    assert.equal(sealed.keys, 'opened');
    const { readFileSync } = await import('node:fs');
    const names = readdirSync(join(dataDir, 'keys')).filter((name) => name.endsWith('.key'));
    assert.ok(names.length > 0);
    for (const name of names) {
      const [, , , pkcs8 = ''] = readFileSync(join(dataDir, 'keys', name), 'utf8').split('\n');
      const der = Buffer.from(pkcs8, 'base64');
      const secret = der.subarray(-40);
      for (const path of [file, sealed.file]) {
        const bytes = readFileSync(path);
        assert.equal(bytes.includes(secret), false);
        assert.equal(bytes.includes(pkcs8), false);
      }
    }
    const pem = readFileSync(join(dataDir, 'ledger-key'), 'utf8').split('\n')[1] ?? '';
    assert.equal(readFileSync(sealed.file).includes(pem), false);
    const create = (...more: string[]) =>
      stateCommand(dataDir, 'backup', 'create', '--output', join(server.dir, 'x'), ...more);
    assert.equal(codeOf(await create('--include-keys')), 'CLI_USAGE');
    assert.equal(codeOf(await create(...flags)), 'CLI_USAGE');
  });
});

describe('a restore', () => {
  test('brings back what was registered, with the keys, and begins a new ledger', async () => {
    const flags = passphraseFlags(server);
    const oldEpoch = await backUp(server, 'full.backup', '--include-keys', ...flags);
    const before = await bundle();
    const { revisionNumber } = await entry();
    await issue();
    await server.halt();
    const aside = setAside('aside-1');

    const unread = await restore(oldEpoch.file, dataDir, ...flags);
    assert.equal(codeOf(unread), 'BACKUP_NOT_ACKNOWLEDGED');
    assert.equal(existsSync(dataDir), false, 'nothing was written');
    const done = await restore(oldEpoch.file, dataDir, ...flags, '--acknowledge');
    assert.equal(done.code, 0, done.err);
    await server.restart();

    const now = await bundle();
    assert.deepEqual(
      now.x509Authorities.map(({ asn1 }) => asn1.toString('hex')),
      before.x509Authorities.map(({ asn1 }) => asn1.toString('hex')),
      'the authority goes on',
    );
    // I6: nobody is given a number twice, for another content.
    assert.ok(now.sequenceNumber > before.sequenceNumber + 1000n);
    assert.ok((await entry()).revisionNumber > revisionNumber + 1000n);
    await issue();
    await server.restart();
    const [{ previous, act }] = await ledger(dataDir, 'search', '--limit', '1000');
    assert.equal(act, 'restore');
    assert.ok(previous.startsWith(`${oldEpoch.ledger?.origin}\n${oldEpoch.ledger?.size}\n`));
    const status = await ledger(dataDir, 'status');
    assert.notEqual(status.origin, oldEpoch.ledger?.origin);
    const [epoch = ''] = readdirSync(join(dataDir, 'earlier-ledgers'));
    const earlier = join(dataDir, 'earlier-ledgers', epoch);
    assert.equal((await ledger(earlier, 'verify')).size, oldEpoch.ledger?.size);
    assert.equal((await ledger(aside, 'status')).origin, oldEpoch.ledger?.origin);
  });

  test('is itself backed up, with the ledgers of both epochs', async () => {
    const flags = passphraseFlags(server);
    mkdirSync(join(dataDir, 'audit'));
    writeFileSync(join(dataDir, 'audit', 'siem.cursor'), 'example.org/ledger/1\n7\n');
    writeFileSync(join(dataDir, 'ledger-witnessed'), 'cosigned\n');
    const epoch = (await ledger(dataDir, 'status')).origin.split('/').at(-1) ?? '';
    const made = await backUp(server, 'second.backup', '--include-keys', ...flags);
    await server.halt();
    setAside('aside-2');
    assert.equal((await restore(made.file, dataDir, '--acknowledge', ...flags)).code, 0);
    await server.restart();
    assert.equal(readdirSync(join(dataDir, 'earlier-ledgers')).length, 2);
    const earlier = join(dataDir, 'earlier-ledgers', epoch);
    const [cursor, witnessed] = ['audit/siem.cursor', 'ledger-witnessed'];
    assert.match(readFileSync(join(earlier, cursor), 'utf8'), /\n7\n$/);
    assert.equal(readFileSync(join(earlier, witnessed), 'utf8'), 'cosigned\n');
    for (const name of [cursor, witnessed]) {
      assert.equal(existsSync(join(dataDir, name)), false, 'the new ledger begins without it');
    }
    await issue();
  });

  test('I7 makes no join token of before good again', async () => {
    const token = await server.token(3600);
    const flags = passphraseFlags(server);
    const made = await backUp(server, 'token.backup', '--include-keys', ...flags);
    await attest(await server.tcp(), token, makeCsr());
    await server.halt();
    setAside('aside-3');
    assert.equal((await restore(made.file, dataDir, '--acknowledge', ...flags)).code, 0);
    await server.restart();
    await assertStatus(attest(await server.tcp(), token, makeCsr()), 'JOIN_TOKEN_UNKNOWN');
  });

  test('I8 keeps whom the database and the local file had banned', async () => {
    const victim = await server.attest();
    await ask(server.admin(), AgentService.banAgent, { id: td(victim.path) });
    const { file } = await backUp(server, 'ban.backup');
    const other = join(server.dir, 'elsewhere');
    assert.equal((await restore(file, other, '--acknowledge')).code, 0);
    await server.halt();
    setAside('aside-4');
    renameSync(other, dataDir);
    await server.restart();
    const { banned } = await ask(server.admin(), AgentService.getAgent, {
      id: td(victim.path),
      outputMask: undefined,
    });
    assert.equal(banned, true);
  });

  test('refuses a directory that holds anything, and one that a server has', async () => {
    const { file } = await backUp(server, 'refused.backup');
    assert.equal(codeOf(await restore(file, dataDir, '--acknowledge')), 'DATA_DIR_LOCKED');
    await server.halt();
    assert.equal(codeOf(await restore(file, dataDir, '--acknowledge')), 'BACKUP_TARGET_NOT_EMPTY');
    await server.restart();
    const fresh = join(server.dir, 'fresh');
    mkdirSync(fresh, { mode: 0o700 });
    const foreign = ['--data-dir', fresh, '--trust-domain', 'other.org', '--acknowledge'];
    const refused = await cli(commands, ['backup', 'restore', file, ...foreign]);
    assert.equal(codeOf(refused), 'BACKUP_FOREIGN');
    assert.deepEqual(readdirSync(fresh), []);
    rmSync(fresh, { recursive: true });
  });
});

async function ledger(folder: string, ...argv: string[]) {
  const { code, out, err } = await cli(commands, [
    'ledger',
    ...argv,
    '--data-dir',
    folder,
    '-o',
    'json',
  ]);
  assert.equal(code, 0, err);
  return JSON.parse(out);
}
