import type { Clock } from '../base/clock.ts';
import { ok, type Result } from '../base/result.ts';
import { type LedgerFiles, readWhole } from './files.ts';
import type { Ledger } from './ledger.ts';
import { encodeRecord } from './record.ts';

/** Holds the last checkpoint of the ledger from before a restore, signed as it was. */
export const PREVIOUS_FILE = 'ledger-before';

/**
 * Begins the ledger of a restored server with a record that holds the last checkpoint of the one
 * before: an epoch ends where its backup was made, and the next one says so in its first leaf. Does
 * nothing for a ledger that has records, or where nothing was restored. Fails as appending does.
 */
export async function recordRestore(
  ledger: Ledger,
  files: Pick<LedgerFiles, 'size' | 'read'>,
  clock: Clock,
): Promise<Result<void>> {
  if (ledger.size > 0) return ok(undefined);
  const note = await readWhole(files, PREVIOUS_FILE);
  if (!note.ok || note.value === undefined) return note.ok ? ok(undefined) : note;
  const timeMs = clock.nowMs();
  const previous = Buffer.from(note.value).toString('utf8');
  const bytes = encodeRecord({
    kind: 'act',
    act: 'restore',
    timeMs,
    requestedBy: 'self',
    previous,
  });
  const appended = await ledger.append([{ bytes, timeMs }]);
  return appended.ok ? ok(undefined) : appended;
}
