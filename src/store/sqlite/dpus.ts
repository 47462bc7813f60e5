import { appendChange } from './changes.ts';
import type { Database } from './database.ts';
import type { ArgsOf, DpuWriteRow, WrittenDpuRow } from './protocol.ts';
import { type DpuRow, dpuChecksum } from './rows.ts';

const COLUMNS = 'serial, revision, state, body, checksum';

/** The DPU with a serial number. */
export function findDpu(db: Database, serial: string): DpuRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM dpus WHERE serial = ?`, serial);
}

/** All DPUs in the order of their serial numbers. */
export function allDpus(db: Database): readonly DpuRow[] {
  return db.all(`SELECT ${COLUMNS} FROM dpus ORDER BY serial`);
}

/** Makes or replaces DPUs, each only over the revision that it was made from. */
export function writeDpus(db: Database, { writes }: ArgsOf<'writeDpus'>): readonly WrittenDpuRow[] {
  return writes.map((write) => writeDpu(db, write));
}

/** Makes or replaces one; on a conflict nothing is written. */
export function writeDpu(db: Database, { dpu, expectedRevision }: DpuWriteRow): WrittenDpuRow {
  const before = findDpu(db, dpu.serial);
  if ((before?.revision ?? 0) !== expectedRevision) return { outcome: 'conflict', row: before };
  const revised = { ...dpu, revision: expectedRevision + 1 };
  const row = { ...revised, checksum: dpuChecksum(revised) };
  db.run(
    'INSERT OR REPLACE INTO dpus VALUES (?, ?, ?, ?, ?)',
    row.serial,
    row.revision,
    row.state,
    row.body,
    row.checksum,
  );
  appendChange(db, 'dpu', row.serial);
  return { outcome: 'written', row };
}
