import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  MemoryFiles,
  makeEntries,
  makeNoteSigner,
  openTestLedger,
} from '../../test/support/ledger.ts';
import { TRUST_DOMAIN, temporaryFolder } from '../../test/support/state.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, type Result, unwrap } from '../base/result.ts';
import { readTile } from '../ledger/reader.ts';
import { dropBodies } from '../ledger/retention.ts';
import { formatTilePath, TILE_WIDTH, tilesOf } from '../ledger/tile-path.ts';
import { createLogger } from '../runtime/log.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { LedgerCopyWrite } from '../store/store.ts';
import { startTileCopy } from './tile-copy.ts';

const START_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const signer = makeNoteSigner();
const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);

async function rig(context: TestContext) {
  const path = join(await temporaryFolder(context), 'signet.db');
  const store = unwrap(await openSqliteStore({ path, trustDomain: TRUST_DOMAIN }));
  context.after(() => store.close());
  const files = new MemoryFiles();
  const clock = new ManualClock(START_MS);
  const ledger = unwrap(await openTestLedger({ files, signer, clock, segmentBytes: 20_000 }));
  const add = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at += 500) {
      unwrap(await ledger.append(makeEntries(ledger.size, Math.min(500, count - at))));
    }
    unwrap(await ledger.publish());
  };
  /** Told of each write; a failure that it answers is the database's. */
  const gate = { write: (_write: LedgerCopyWrite): Result<void> | undefined => undefined };
  const start = async () =>
    unwrap(
      await startTileCopy({
        store: {
          ledgerCopy: (origin) => store.ledgerCopy(origin),
          putLedgerCopy: async (write) => gate.write(write) ?? store.putLedgerCopy(write),
        },
        files,
        ledger,
        clock,
        log: createLogger({ level: 'silent' }),
        everyMs: 1000,
        maxLagMs: 24 * HOUR_MS,
      }),
    );
  /** Compares every tile of the copy with the ledger's own. */
  const check = async (skip: (level: number | 'entries') => boolean = () => false) => {
    const { origin, size, bytes } = ledger.checkpoint;
    const head = unwrap(await store.ledgerCopy(origin));
    assert.equal(head?.size, size);
    assert.deepEqual(Buffer.from(head.checkpoint), Buffer.from(bytes));
    for (const name of tilesOf(size)) {
      if (skip(name.level)) continue;
      const own = unwrap(await readTile(files, size, name));
      const copied = formatTilePath({ ...name, width: TILE_WIDTH });
      const copy = unwrap(await store.ledgerCopyTile(origin, copied));
      assert.ok(copy !== undefined && Buffer.compare(copy, own) === 0, copied);
    }
  };
  return { store, files, clock, ledger, add, gate, start, check };
}

test('the copy has every tile, bundle and the checkpoint, as the tree grows', async (context) => {
  const { ledger, add, start, check } = await rig(context);
  const copy = await start();
  for (const count of [1, 254, 1, 1, 300, 9000]) {
    await add(count);
    assert.equal(copy.lagRecords, count);
    await copy.round();
    assert.equal(copy.lagRecords, 0);
    await check();
  }
  assert.equal(ledger.size, 9557);
  await copy.close();
});

test('a checkpoint is copied with its last tiles, never before them', async (context) => {
  const { add, gate, start, check } = await rig(context);
  await add(9000);
  const heads: (number | undefined)[] = [];
  gate.write = ({ head }) => {
    heads.push(head?.size);
    return undefined;
  };
  const copy = await start();
  assert.deepEqual(heads, [undefined, undefined, 9000]);
  await check();
  await copy.close();
});

test('a database that fails in the middle is copied to from there on, after a restart too', async (context) => {
  const { add, gate, start, check } = await rig(context);
  await add(9000);
  let left = 2;
  gate.write = () => {
    left -= 1;
    return left === 0 ? fail('STORE_UNAVAILABLE', 'away') : undefined;
  };
  const first = await start();
  assert.equal(first.lagRecords, 9000);
  await first.close();
  const second = await start();
  assert.equal(second.lagRecords, 0);
  await check();
  await second.close();
});

test('past its bound the lag stops issuance, and issuance goes on once the copy follows', async (context) => {
  const { clock, add, gate, start } = await rig(context);
  const copy = await start();
  gate.write = () => fail('STORE_UNAVAILABLE', 'away');
  await add(10);
  await copy.round();
  assert.equal(copy.lagRecords, 10);
  clock.setWallClock(START_MS + 24 * HOUR_MS);
  assert.equal(codeOf(copy.mayIssue()), undefined);
  clock.setWallClock(START_MS + 24 * HOUR_MS + 1);
  assert.equal(codeOf(copy.mayIssue()), 'LEDGER_COPY_LATE');
  gate.write = () => undefined;
  await copy.round();
  assert.equal(codeOf(copy.mayIssue()), undefined);
  await copy.close();
});

test('a restart does not begin the bound anew', async (context) => {
  const { clock, add, gate, start } = await rig(context);
  await add(10);
  gate.write = () => fail('STORE_UNAVAILABLE', 'away');
  clock.setWallClock(START_MS + 25 * HOUR_MS);
  const copy = await start();
  assert.equal(codeOf(copy.mayIssue()), 'LEDGER_COPY_LATE');
  await copy.close();
});

test('bodies that were dropped are left out, their hashes are not', async (context) => {
  const { files, ledger, add, start, check } = await rig(context);
  await add(3000);
  const rule = { beforeMs: START_MS + 2_000_000, holds: [] };
  assert.ok(unwrap(await dropBodies(files, ledger.checkpoint, rule)) > 0);
  const copy = await start();
  await check((level) => level === 'entries');
  await copy.close();
});
