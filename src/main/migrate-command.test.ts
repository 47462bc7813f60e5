import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, beforeEach, describe, test } from 'node:test';
import { codeOf, stateCommand } from '../../test/support/backup.ts';
import { unwrap } from '../base/result.ts';
import { openDataDir } from '../runtime/data-dir.ts';
import { SCHEMA_VERSION } from '../store/sqlite/copy.ts';
import { MIGRATIONS, migrate } from '../store/sqlite/migrations.ts';

const folders: string[] = [];
let dataDir: string;
let path: string;

/** A database as the first release would have left it. */
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sgn-'));
  folders.push(dataDir);
  path = join(dataDir, 'server.sqlite');
  const database = new DatabaseSync(path);
  unwrap(migrate(database, 'example.org', MIGRATIONS.slice(0, 1)));
  database.close();
});

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const run = (...flags: string[]) => stateCommand(dataDir, 'server', 'migrate', ...flags);

function schemaOf(): unknown {
  const database = new DatabaseSync(path, { readOnly: true });
  const row = database.prepare('SELECT max(version) AS version FROM migrations').get();
  database.close();
  return row?.version;
}

describe('signet server migrate', () => {
  test('--dry-run shows each step and writes nothing', async () => {
    const before = readFileSync(path);
    const shown = await run('--dry-run');
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /steps? would be made, from schema 1 to \d+:\n\nschema 2\n {2}CREATE/);
    assert.match(shown.out, /^ {2}CREATE TABLE revocations$/m);
    const view = JSON.parse((await run('--dry-run', '-o', 'json')).out);
    assert.equal(view.schema, 1);
    assert.equal(view.known, SCHEMA_VERSION);
    assert.equal(view.pending.length, SCHEMA_VERSION - 1);
    assert.deepEqual(readFileSync(path), before);
    assert.deepEqual(readdirSync(dataDir), ['server.sqlite']);
  });

  test('makes them, and has nothing to do after that', async () => {
    const made = await run();
    assert.equal(made.code, 0, made.err);
    assert.equal(schemaOf(), SCHEMA_VERSION);
    const again = await run();
    assert.equal(
      again.out,
      `The database has schema ${SCHEMA_VERSION}, which is this program's.\n`,
    );
  });

  test('a schema newer than the program is refused, with what to do', async () => {
    const database = new DatabaseSync(path);
    const insert = database.prepare('INSERT INTO migrations (version) VALUES (?)');
    insert.run(SCHEMA_VERSION + 1);
    database.close();
    for (const flags of [[], ['--dry-run']]) {
      const refused = await run(...flags);
      assert.equal(codeOf(refused), 'STORE_SCHEMA_NEWER');
      assert.match(refused.err, /next: .*newer version.*backup/);
    }
    assert.equal(schemaOf(), SCHEMA_VERSION + 1);
    const output = join(dataDir, '..', 'never.backup');
    const backup = await stateCommand(dataDir, 'backup', 'create', '--output', output);
    assert.equal(codeOf(backup), 'BACKUP_NEWER');
  });

  test('a step that cannot be made on the copy leaves the database as it was', async () => {
    const database = new DatabaseSync(path);
    database.exec('CREATE TABLE revocations (other TEXT) STRICT');
    database.close();
    assert.equal(codeOf(await run()), 'STORE_FAILED');
    assert.equal(schemaOf(), 1);
  });

  test('waits for the server to stop, but for a dry run; refuses what is not there', async () => {
    const held = unwrap(await openDataDir(dataDir));
    assert.equal(codeOf(await run()), 'DATA_DIR_LOCKED');
    assert.equal((await run('--dry-run')).code, 0);
    held.release();
    rmSync(path);
    assert.equal(codeOf(await run()), 'STATE_ABSENT');
    assert.equal(codeOf(await run('--dry-run')), 'STATE_ABSENT');
    assert.equal(readdirSync(dataDir).includes('server.sqlite'), false);
  });
});
