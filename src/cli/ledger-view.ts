import type { LedgerRecord } from '../ledger/record.ts';
import type { FoundRecord } from '../ledger/search.ts';
import type { CliIo, Input } from './spec.ts';
import { counted, formatBlock, formatTable, formatTime, safeJson } from './text.ts';

/** Prints records as a table, or as a JSON list. */
export function printRecords(
  { found, total }: { readonly found: readonly FoundRecord[]; readonly total: number },
  input: Input,
  io: CliIo,
): void {
  if (input.text('output') === 'json') {
    const records = found.map(({ index, record }) => ({ index, ...record }));
    io.out(`${safeJson(records)}\n`);
    return;
  }
  const left = total - found.length;
  const more = left > 0 ? `, ${left} older not shown (--limit)` : '';
  io.out(`${counted(total, 'record', 'records')}${more}\n`);
  if (found.length === 0) return;
  const rows = found.map(({ index, record }) => [
    `${index}`,
    new Date(record.timeMs).toISOString().slice(0, 19),
    record.act ?? record.kind,
    record.serial ?? '',
    record.spiffeId ?? record.authorityId ?? record.dpu ?? record.connector ?? '',
  ]);
  io.out(`\n${formatTable(['INDEX', 'TIME (UTC)', 'KIND', 'SERIAL', 'SPIFFE ID'], rows)}`);
}

/** All of one record, a line a field. */
export function formatRecord(index: number, record: LedgerRecord, io: CliIo): string {
  const time = (seconds: number | undefined): string | readonly string[] =>
    seconds === undefined ? [] : formatTime(seconds, io.clock.nowMs());
  return formatBlock([
    ['Index', `${index}`],
    ['Kind', record.act ?? record.kind],
    ['Recorded', formatTime(Math.floor(record.timeMs / 1000), io.clock.nowMs())],
    ['SPIFFE ID', record.spiffeId ?? []],
    ['Serial', record.serial ?? []],
    ['Authority', record.authorityId ?? []],
    ['Entry', record.entryId ?? []],
    ['Entry revision', record.entryRevision ?? []],
    ['Agent', record.agentId ?? []],
    ['Assurance', record.assurance ?? []],
    ['Pod UID', record.podUid ?? []],
    ['DPU', record.dpu ?? []],
    ['Connector', record.connector ?? []],
    ['Reason', record.reason ?? []],
    ['Requested by', record.requestedBy ?? []],
    ['Not before', time(record.notBefore)],
    ['Not after', time(record.notAfter)],
    ['TBS hash', record.tbsHash ?? []],
  ]);
}
