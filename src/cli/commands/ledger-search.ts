import { ok } from '../../base/result.ts';
import { type FoundRecord, searchRecords } from '../../ledger/search.ts';
import {
  LEDGER_FLAGS,
  openLedgerFiles,
  RECORD_FLAGS,
  recordFilter,
  wholeFlag,
} from '../ledger-files.ts';
import { printRecords } from '../ledger-view.ts';
import type { CommandSpec } from '../spec.ts';

/** `signet ledger search`. */
export const ledgerSearch: CommandSpec = {
  prints: true,
  about:
    'Lists records in the order in which they were written; the last ones where there are many.',
  flags: [
    ...LEDGER_FLAGS,
    ...RECORD_FLAGS,
    { name: 'limit', value: 'count', help: 'at most so many, the newest; 100 unless told' },
  ],
  examples: [
    'signet ledger search --spiffe-id spiffe://example.org/web --since 2030-01-31T12:00:00Z',
    'signet ledger search --serial 4f:0a:… -o json',
  ],
  run: async (input, io) => {
    const filter = recordFilter(input);
    if (!filter.ok) return filter;
    const limit = wholeFlag(input, 'limit');
    if (!limit.ok) return limit;
    const opened = await openLedgerFiles(input, io);
    if (!opened.ok) return opened;
    const found: FoundRecord[] = [];
    const most = limit.value ?? 100;
    let total = 0;
    const { files, head } = opened.value;
    const all = { first: 0, size: head.size };
    const searched = await searchRecords(files, all, filter.value, (record) => {
      total += 1;
      found.push(record);
      // Cut now and then, not at each record: a shift is as long as the list.
      if (found.length > 2 * most + 1000) found.splice(0, found.length - most);
      return true;
    });
    if (!searched.ok) return searched;
    printRecords({ found: found.slice(Math.max(0, found.length - most)), total }, input, io);
    return ok(undefined);
  },
};
