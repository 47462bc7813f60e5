import assert from 'node:assert/strict';
import { readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { JsonLines, run, stopChild } from '../../../test/support/processes.ts';
import { skipNow } from '../../../test/support/shared.ts';
import {
  agentRecord,
  draft,
  START_SECONDS as NOW,
  revocation,
  TRUST_DOMAIN,
  temporaryFolder,
} from '../../../test/support/state.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import type { Store } from '../store.ts';
import { encodeAgent } from './agent-codec.ts';
import { MIGRATIONS, migrate } from './migrations.ts';
import { agentChecksum } from './rows.ts';
import { openSqliteStore } from './sqlite-store.ts';

const CHILD = fileURLToPath(new URL('../../../test/support/store-child.ts', import.meta.url));

function codeOf(result: Result<unknown>): string {
  return result.ok ? 'OK' : result.error.code;
}

const open = (path: string) => openSqliteStore({ path, trustDomain: TRUST_DOMAIN });

/** A path to a database that holds one entry, one agent and one revocation, closed. */
const ASSURANCE = {
  method: 'x509pop',
  binding: 'key',
  zone: 2,
  release: undefined,
  atSeconds: NOW,
} as const;

async function madeDatabase(context: TestContext): Promise<string> {
  const path = join(await temporaryFolder(context), 'signet.db');
  const store = unwrap(await open(path));
  unwrap(await store.createEntries([{ id: 'one', draft: draft('/web', '/p') }], NOW));
  unwrap(
    await store.recordAttestation({
      agent: agentRecord('a', { assurance: ASSURANCE }),
      aliasEntry: undefined,
      joinTokenAnswer: undefined,
      nowSeconds: NOW,
    }),
  );
  unwrap(await store.revoke([revocation('7')]));
  const journal = Uint8Array.of(1);
  unwrap(await store.commitAuthorities({ expectedVersion: 0n, journal, bundle: undefined }));
  await store.close();
  return path;
}

/** Changes a closed database behind the program's back. */
function tamper(path: string, sql: string): void {
  const connection = new DatabaseSync(path);
  connection.exec(sql);
  connection.close();
}

describe('the database file', () => {
  it('is for its owner alone, with all that belongs to it', async (context) => {
    const folder = join(await temporaryFolder(context), 'new', 'data');
    const path = join(folder, 'signet.db');
    const store = unwrap(await open(path));
    context.after(() => store.close());
    unwrap(await store.createEntries([{ id: 'one', draft: draft('/web', '/p') }], NOW));
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    for (const suffix of ['', '-wal', '-shm', '-lock']) {
      assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
    }
  });

  it('is durable at every commit', async (context) => {
    const path = join(await temporaryFolder(context), 'signet.db');
    const store = unwrap(await open(path));
    context.after(() => store.close());
    const connection = new DatabaseSync(path);
    context.after(() => connection.close());
    assert.equal(connection.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal');
    const source = readFileSync(new URL('./database.ts', import.meta.url), 'utf8');
    assert.match(source, /PRAGMA synchronous = FULL/);
  });

  it('is not opened through a symbolic link, nor where it cannot be', async (context) => {
    const folder = await temporaryFolder(context);
    const target = await madeDatabase(context);
    symlinkSync(target, join(folder, 'link.db'));
    assert.equal(codeOf(await open(join(folder, 'link.db'))), 'STORE_UNUSABLE');
    writeFileSync(join(folder, 'file'), '');
    assert.equal(codeOf(await open(join(folder, 'file', 'signet.db'))), 'STORE_UNUSABLE');
    assert.equal(codeOf(await open(folder)), 'STORE_UNUSABLE');
  });
});

describe('two servers on one database', () => {
  it('A5 refuses the second, in this process and in another', async (context) => {
    const path = await madeDatabase(context);
    const store = unwrap(await open(path));
    assert.equal(codeOf(await open(path)), 'STORE_LOCKED');
    const other = await run(process.execPath, [CHILD, 'open', join(path, '..')]);
    assert.equal(other.stdout, '"STORE_LOCKED"\n');
    await store.close();
    const second = unwrap(await open(path));
    await second.close();
  });

  it('A1 opens after a kill -9 with every acknowledged write and no half of one', async (context) => {
    const folder = await temporaryFolder(context);
    let acknowledged = 0;
    for (const more of [21, 70, 280]) {
      const child = new JsonLines<{ acknowledged: number }>(process.execPath, [
        CHILD,
        'write',
        folder,
      ]);
      context.after(() => stopChild(child.child, 'SIGKILL'));
      const wanted = acknowledged + more;
      await child.next((line) => line.acknowledged >= wanted);
      await stopChild(child.child, 'SIGKILL');
      acknowledged = child.seen.at(-1)?.acknowledged ?? 0;
      const store = unwrap(await open(join(folder, 'signet.db')));
      const { entries, sequence } = unwrap(await store.loadSnapshot());
      await store.close();
      assert.equal(entries.length % 7, 0);
      assert.ok(entries.length >= acknowledged);
      assert.equal(sequence, BigInt(entries.length));
    }
  });
});

describe('schema', () => {
  it('of a newer program is refused and left as it is', async (context) => {
    const path = await madeDatabase(context);
    tamper(path, `INSERT INTO migrations (version) VALUES (${MIGRATIONS.length + 1})`);
    const before = readFileSync(path);
    const refused = await open(path);
    assert.equal(codeOf(refused), 'STORE_SCHEMA_NEWER');
    assert.deepEqual(readFileSync(path), before);
  });

  it('A15 goes on where an interrupted migration stopped', () => {
    const connection = new DatabaseSync(':memory:');
    const [first = ''] = MIGRATIONS;
    const second = 'CREATE TABLE extra (a TEXT) STRICT;';
    const versions = () =>
      connection
        .prepare('SELECT version FROM migrations ORDER BY version')
        .all()
        .map(({ version }) => version);
    assert.throws(() => migrate(connection, 'a.org', [first, `${second} INTERRUPTED`]));
    assert.deepEqual(versions(), [1]);
    assert.equal(connection.isTransaction, false);
    unwrap(migrate(connection, 'a.org', [first, second]));
    unwrap(migrate(connection, 'a.org', [first, second]));
    assert.deepEqual(versions(), [1, 2]);
    connection.close();
  });

  it('leaves nothing behind when its very first step is interrupted', () => {
    const connection = new DatabaseSync(':memory:');
    assert.throws(() => migrate(connection, 'a.org', ['CREATE TABLE a (b TEXT) STRICT; X']));
    assert.equal(connection.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n, 0);
    unwrap(migrate(connection, 'a.org'));
    connection.close();
  });
});

describe('a foreign database', () => {
  it('of another trust domain is refused', async (context) => {
    const path = await madeDatabase(context);
    const trustDomain = unwrap(parseTrustDomain('other.org'));
    assert.equal(codeOf(await openSqliteStore({ path, trustDomain })), 'STORE_FOREIGN');
  });

  it('of another program is refused and left as it is', async (context) => {
    const path = join(await temporaryFolder(context), 'signet.db');
    tamper(path, 'CREATE TABLE theirs (a)');
    const before = readFileSync(path);
    assert.equal(codeOf(await open(path)), 'STORE_FOREIGN');
    assert.deepEqual(readFileSync(path), before);
  });

  it('that is no database at all is refused', async (context) => {
    const path = join(await temporaryFolder(context), 'signet.db');
    writeFileSync(path, 'not a database, but long enough to have a header. '.repeat(20));
    assert.equal(codeOf(await open(path)), 'STORE_FOREIGN');
  });
});

describe('a database of before revocations', () => {
  it('keeps its feed, which counts on', () => {
    const connection = new DatabaseSync(':memory:');
    unwrap(migrate(connection, TRUST_DOMAIN.name, MIGRATIONS.slice(0, 1)));
    const append = (kind: string) =>
      connection.prepare('INSERT INTO changes (kind, ref) VALUES (?, ?)').run(kind, 'a');
    append('entry');
    append('agent');
    connection.exec('DELETE FROM changes WHERE sequence = 1');
    unwrap(migrate(connection, TRUST_DOMAIN.name));
    append('revocation');
    const lines = connection.prepare('SELECT sequence, kind FROM changes').all();
    assert.deepEqual(
      lines.map(({ sequence, kind }) => [sequence, kind]),
      [
        [2, 'agent'],
        [3, 'revocation'],
      ],
    );
    connection.close();
  });
});

describe('a database of before assurance', () => {
  it('keeps its agents, of which nothing more is known', async (context) => {
    const path = join(await temporaryFolder(context), 'signet.db');
    const old = new DatabaseSync(path);
    unwrap(migrate(old, TRUST_DOMAIN.name, MIGRATIONS.slice(0, 5)));
    const row = { ...encodeAgent(agentRecord('a')), assurance: null };
    old
      .prepare('INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(
        ...[row.id, row.attestationType, row.selectors, row.serial, row.expiresAt, row.newSerial],
        ...[row.newExpiresAt, row.banned, row.canReattest, row.agentVersion, row.attestedAt],
        agentChecksum(row),
      );
    old.close();
    const store = unwrap(await open(path));
    context.after(() => store.close());
    assert.deepEqual(unwrap(await store.loadSnapshot()).agents, [agentRecord('a')]);
  });
});

describe('A12 a damaged database', () => {
  const flips: readonly [name: string, sql: string][] = [
    ['selector', `UPDATE entries SET body = replace(body, 'uid:1000', 'uid:1001')`],
    ['SPIFFE ID', `UPDATE entries SET spiffe_id = 'spiffe://example.org/wec'`],
    ['parent', `UPDATE entries SET parent_id = 'spiffe://example.org/q'`],
    ['expiry', `UPDATE entries SET expires_at = 4000000000`],
    ['ban', `UPDATE agents SET banned = 1 - banned`],
    ['serial number', `UPDATE agents SET serial = '2'`],
    ['zone', `UPDATE agents SET assurance = replace(assurance, '"zone":2', '"zone":0')`],
    ['lost assurance', `UPDATE agents SET assurance = NULL`],
    ['revoked serial number', `UPDATE revocations SET serial = '8'`],
  ];
  for (const [name, sql] of flips) {
    it(`is noticed by its ${name}`, async (context) => {
      const path = await madeDatabase(context);
      tamper(path, sql);
      const store = unwrap(await open(path));
      context.after(() => store.close());
      assert.equal(codeOf(await store.loadSnapshot()), 'STORE_CORRUPT');
    });
  }

  it('is noticed by its journal', async (context) => {
    const path = await madeDatabase(context);
    tamper(path, `UPDATE authorities SET journal = x'02'`);
    const store = unwrap(await open(path));
    context.after(() => store.close());
    assert.equal(codeOf(await store.loadJournal()), 'STORE_CORRUPT');
  });

  it('is noticed by a sealed key', async (context) => {
    const path = await madeDatabase(context);
    const first = unwrap(await open(path));
    const sealed = Uint8Array.of(1, 2);
    unwrap(await first.writeSealedKey({ slot: 'a', expectedVersion: 0n, sealed }));
    await first.close();
    tamper(path, `UPDATE sealed_keys SET sealed = x'0103'`);
    const store = unwrap(await open(path));
    context.after(() => store.close());
    assert.equal(codeOf(await store.loadSealedKeys()), 'STORE_CORRUPT');
  });

  it('is noticed by a kept value', async (context) => {
    const path = await madeDatabase(context);
    const first = unwrap(await open(path));
    const value = Uint8Array.of(1, 2);
    unwrap(await first.writeKeptValue({ name: 'a', expectedVersion: 0n, value }));
    await first.close();
    tamper(path, `UPDATE kept_values SET value = x'0103'`);
    const store = unwrap(await open(path));
    context.after(() => store.close());
    assert.equal(codeOf(await store.loadKeptValues()), 'STORE_CORRUPT');
  });

  it('is noticed where the file is cut off', async (context) => {
    const path = await madeDatabase(context);
    truncateSync(path, 3 * 4096);
    const store = await open(path);
    const code = store.ok ? codeOf(await store.value.loadSnapshot()) : codeOf(store);
    if (store.ok) await store.value.close();
    assert.equal(code, 'STORE_CORRUPT');
  });
});

describe('a write that fails', () => {
  it('A9 fails alone, and leaves nothing of itself', async (context) => {
    const path = await madeDatabase(context);
    tamper(
      path,
      `CREATE TRIGGER planted BEFORE INSERT ON entries WHEN new.id = 'bad'
        BEGIN SELECT RAISE(ABORT, 'planted'); END`,
    );
    const store = unwrap(await open(path));
    context.after(() => store.close());
    const create = (...ids: readonly string[]) =>
      store.createEntries(
        ids.map((id) => ({ id, draft: draft(`/${id}`, '/p') })),
        NOW,
      );
    const results = await Promise.all([create('a'), create('b', 'bad', 'c'), create('d')]);
    assert.deepEqual(results.map(codeOf), ['OK', 'STORE_FAILED', 'OK']);
    const { entries, sequence } = unwrap(await store.loadSnapshot());
    assert.deepEqual(
      entries.map((entry) => entry.id),
      ['a', 'd', 'one'],
    );
    assert.equal(sequence, 5n);
  });

  it('A13 for want of space writes nothing half, and goes on when there is space', async (context) => {
    const folder = await temporaryFolder(context);
    const full = await inMount(folder, `mount -t tmpfs -o size=3m tmpfs "$1"`, 'fill');
    if (full === undefined) return skipNow(context, 'no mount namespace can be made here');
    assert.deepEqual(full, { code: 'STORE_FULL', again: 'STORE_FULL', lost: 0, afterwards: 50 });
  });

  it('A14 on a read-only file system is refused when the database is opened', async (context) => {
    const folder = join(await madeDatabase(context), '..');
    const command = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"';
    const opened = await inMount(folder, command, 'open');
    if (opened === undefined) return skipNow(context, 'no mount namespace can be made here');
    assert.equal(opened, 'STORE_READ_ONLY');
  });
});

/** Runs the child with a mount of its own over the folder; undefined where that cannot be made. */
async function inMount(folder: string, mount: string, mode: string): Promise<unknown> {
  const script = `${mount} && exec "$2" "$3" "$4" "$1"`;
  const args = ['-rm', 'sh', '-c', script, 'sh', folder, process.execPath, CHILD, mode];
  const finished = await run('unshare', args);
  if (finished.stdout === '' && /unshare|mount:/.test(finished.stderr)) return undefined;
  assert.equal(finished.code, 0, finished.stderr);
  return JSON.parse(finished.stdout);
}

describe('a store that is asked too much', () => {
  it('answers what waits when it is closed, and refuses what comes', async (context) => {
    const path = await madeDatabase(context);
    const store: Store = unwrap(await open(path));
    const waiting = Array.from({ length: 20 }, () => store.loadJournal());
    const closing = store.close();
    assert.equal(codeOf(await store.loadJournal()), 'STORE_UNAVAILABLE');
    await closing;
    for (const result of await Promise.all(waiting)) assert.equal(codeOf(result), 'OK');
  });

  it('takes 4096 waiting requests and refuses more', async (context) => {
    const path = await madeDatabase(context);
    const store = unwrap(await open(path));
    context.after(() => store.close());
    const results = await Promise.all(Array.from({ length: 4097 }, () => store.loadJournal()));
    assert.equal(results.filter((result) => result.ok).length, 4096);
    assert.equal(codeOf(results.at(-1) ?? assert.fail()), 'STORE_OVERLOADED');
  });
});
