import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { unwrap } from '../base/result.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { SCHEMA_VERSION } from '../store/sqlite/copy.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { FOOTER_BYTES, HEADER, TRAILER } from './backup-writer.ts';
import { verifyBackup } from './check-backup.ts';
import { createBackup } from './create-backup.ts';
import { MAX_MANIFEST_BYTES } from './manifest.ts';
import { restoreBackup } from './restore-backup.ts';

let folder: string;
let good: Buffer;
let database: Buffer;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  const dataDir = join(folder, 'data');
  const trustDomain = unwrap(parseTrustDomain('example.org'));
  const store = unwrap(
    await openSqliteStore({ path: join(dataDir, 'server.sqlite'), trustDomain }),
  );
  await store.close();
  writeFileSync(join(dataDir, 'local-bans'), 'signet-local-bans 1\n');
  writeFileSync(join(dataDir, 'local-holds'), 'signet-local-holds 1\n');
  const output = join(folder, 'good');
  const made = await createBackup({
    dataDir,
    output,
    trustDomain: 'example.org',
    configPath: undefined,
    passphrase: undefined,
    program: '1.2.3',
    clock: systemClock,
    random: systemRandom,
  });
  const { manifest } = unwrap(made);
  good = readFileSync(output);
  database = good.subarray(HEADER.length, HEADER.length + (manifest.parts[0]?.bytes ?? 0));
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** What verifying some bytes comes to; a restore of them must come to the same, and write nothing. */
async function outcome(bytes: Uint8Array): Promise<string> {
  const file = join(folder, 'tried');
  const dataDir = join(folder, 'restored');
  writeFileSync(file, bytes);
  const verified = await verifyBackup(file, undefined);
  const restored = await restoreBackup({
    file,
    dataDir,
    trustDomain: 'example.org',
    passphrase: undefined,
    acknowledged: true,
    clock: systemClock,
  });
  if (!verified.ok || !restored.ok) {
    assert.equal(existsSync(dataDir), false, 'a refused backup leaves nothing');
    assert.equal(!verified.ok && verified.error.code, !restored.ok && restored.error.code);
  }
  rmSync(dataDir, { recursive: true, force: true });
  return verified.ok ? 'good' : verified.error.code;
}

/** A file with right checksums around whatever manifest: what somebody hostile would make. */
function forge(manifest: string | Uint8Array, parts: readonly Uint8Array[] = [database]): Buffer {
  const bytes = Buffer.from(manifest);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(bytes.length));
  const sum = hash('sha256', bytes, 'buffer');
  return Buffer.concat([HEADER, ...parts, bytes, length, sum, TRAILER]);
}

const partOf = (name: unknown, content: Uint8Array) => ({
  name,
  bytes: content.length,
  sha256: hash('sha256', content),
});

function manifestWith(fields: object): string {
  return JSON.stringify({
    format: 1,
    program: '1.2.3',
    trustDomain: 'example.org',
    createdMs: 1,
    schema: SCHEMA_VERSION,
    ledger: null,
    parts: [partOf('server.sqlite', database)],
    ...fields,
  });
}

/** A backup with one part more, under a name. */
function withPart(name: unknown): Buffer {
  const content = Buffer.from('x');
  const parts = [partOf('server.sqlite', database), partOf(name, content)];
  return forge(manifestWith({ parts }), [database, content]);
}

describe('a backup that is not whole is refused, and nothing is written', () => {
  test('what is forged as the program writes it passes, so that the cases below test what they say', async () => {
    assert.equal(await outcome(good), 'good');
    assert.equal(await outcome(forge(manifestWith({}))), 'good');
    assert.equal(await outcome(withPart('local-bans')), 'good');
    assert.equal(await outcome(withPart('local-holds')), 'good');
    assert.equal(
      await outcome(withPart('earlier-ledgers/00ff/ledger/log/0000000000000000')),
      'good',
    );
  });

  test('A12 cut off at any length', async () => {
    const ends = [0, 1, HEADER.length, HEADER.length + database.length, good.length - FOOTER_BYTES];
    const near = [...ends, good.length].flatMap((end) => [end - 1, end, end + 1]);
    for (const end of near.filter((each) => each >= 0 && each < good.length)) {
      assert.equal(await outcome(good.subarray(0, end)), 'BACKUP_INVALID', `${end}`);
    }
    assert.equal(await outcome(Buffer.concat([good, Buffer.of(0)])), 'BACKUP_INVALID');
  });

  test('A12 with any bit flipped', async () => {
    const flips = fc.tuple(fc.nat(good.length - 1), fc.nat(7));
    const tail = fc.tuple(fc.integer({ min: good.length - 600, max: good.length - 1 }), fc.nat(7));
    await fc.assert(
      fc.asyncProperty(fc.oneof(flips, tail), async ([at, bit]) => {
        const bytes = Buffer.from(good);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        assert.notEqual(await outcome(bytes), 'good');
      }),
      { numRuns: 100 },
    );
  });

  for (const name of [
    '../evil',
    '/etc/passwd',
    'ledger/../../evil',
    'ledger/log/..',
    'ledger/./x',
    'ledger//x',
    'ledger/',
    'ledger/a/b/c',
    'earlier-ledgers/../ledger-head',
    'earlier-ledgers/xyz/ledger-head',
    'earlier-ledgers/ledger-head',
    'keys/JWT-A.key',
    'audit/../x.cursor',
    'audit/.cursor',
    'audit/a/b.cursor',
    'audit/a.txt',
    'earlier-ledgers/xyz/audit/a.cursor',
    'lock',
    'restore-unfinished',
    'ledger-key',
    'ledger-before',
    'server.sqlite-wal',
    'server.sqlite\0',
    'LOCAL-BANS',
    '.hidden',
    '',
    7,
    null,
  ]) {
    test(`I-2 with a part named ${JSON.stringify(name)}`, async () => {
      assert.equal(await outcome(withPart(name)), 'BACKUP_INVALID');
    });
  }

  const cases: Readonly<Record<string, () => Buffer>> = {
    'a part twice': () => {
      const bans = Buffer.from('x');
      const twice = [partOf('local-bans', bans), partOf('local-bans', bans)];
      const parts = [partOf('server.sqlite', database), ...twice];
      return forge(manifestWith({ parts }), [database, bans, bans]);
    },
    'no database': () => forge(manifestWith({ parts: [] }), []),
    'spaces in its manifest': () => forge(` ${manifestWith({})}`),
    'a key twice': () => forge(manifestWith({}).replace('{', '{"format":1,')),
    'a key more': () => forge(manifestWith({ more: 1 })),
    'no manifest': () => forge(''),
    'a manifest that is no JSON': () => forge('{'),
    'deep JSON': () => forge('['.repeat(100_000)),
    'a size below 0': () => {
      const part = { ...partOf('server.sqlite', database), bytes: -1 };
      return forge(manifestWith({ parts: [part] }));
    },
    'a size beyond 2^53': () => {
      const part = { ...partOf('server.sqlite', database), bytes: 2 ** 53 };
      return forge(manifestWith({ parts: [part] }));
    },
    'a part larger than the file': () => {
      const part = { ...partOf('server.sqlite', database), bytes: database.length + 1 };
      return forge(manifestWith({ parts: [part] }));
    },
    'bytes between parts and manifest': () => forge(manifestWith({}), [database, Buffer.of(1)]),
    'a manifest one byte too large': () => forge(Buffer.alloc(MAX_MANIFEST_BYTES + 1, 0x20)),
    'a manifest length of 2^63': () => {
      const bytes = Buffer.from(good);
      bytes.writeBigUInt64BE(2n ** 63n, bytes.length - FOOTER_BYTES);
      return bytes;
    },
    'a database that is none': () => {
      const text = Buffer.from('no database'.repeat(1000));
      return forge(manifestWith({ parts: [partOf('server.sqlite', text)] }), [text]);
    },
    'a database of another trust domain than its manifest': () =>
      forge(manifestWith({ trustDomain: 'other.org' })),
    'a database of another schema than its manifest': () => forge(manifestWith({ schema: 1 })),
    'a ledger in its manifest and none in it': () =>
      forge(manifestWith({ ledger: { origin: 'example.org/ledger/00', size: 1, root: 'x' } })),
    'a head of a ledger that its manifest does not name': () => withPart('ledger-head'),
  };
  for (const [what, make] of Object.entries(cases)) {
    test(`with ${what}`, async () => assert.equal(await outcome(make()), 'BACKUP_INVALID'));
  }

  test('of a newer form or schema, which is said as such', async () => {
    assert.equal(await outcome(forge(manifestWith({ format: 2 }))), 'BACKUP_NEWER');
    const schema = SCHEMA_VERSION + 1;
    assert.equal(await outcome(forge(manifestWith({ schema }))), 'BACKUP_NEWER');
  });

  test('that is no regular file', async () => {
    assert.equal((await verifyBackup(folder, undefined)).ok, false);
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const read = await verifyBackup(fifo, undefined);
    assert.equal(!read.ok && read.error.code, 'BACKUP_INVALID');
    const absent = await verifyBackup(join(folder, 'absent'), undefined);
    assert.equal(!absent.ok && absent.error.code, 'FILE_UNREADABLE');
    const names = readdirSync(folder).filter((name) => name.startsWith('.'));
    assert.deepEqual(names, []);
  });
});
