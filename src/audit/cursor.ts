import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { type LedgerFiles, readWhole } from '../ledger/files.ts';

/** How far a sink has come. */
export interface Cursor {
  /** The log that it follows; another one begins at its first record. */
  readonly origin: string;
  /** Index of the first record that the sink has not had. */
  readonly next: number;
}

/** File of a sink's cursor in the data directory. */
export function cursorFile(name: string): string {
  return `audit/${name}.cursor`;
}

/** The kept cursor; undefined for a sink that had nothing yet. Fails with AUDIT_CURSOR_INVALID. */
export async function readCursor(
  files: Pick<LedgerFiles, 'size' | 'read'>,
  name: string,
): Promise<Result<Cursor | undefined>> {
  const bytes = await readWhole(files, cursorFile(name));
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return ok(undefined);
  const text = Buffer.from(bytes.value).toString('utf8');
  const match = /^([^\n]{1,255})\n(0|[1-9][0-9]{0,15})\n$/.exec(text);
  const next = Number(match?.[2]);
  if (match?.[1] === undefined || !Number.isSafeInteger(next)) {
    return fail('AUDIT_CURSOR_INVALID', `${cursorFile(name)} is damaged`);
  }
  return ok({ origin: match[1], next });
}

/** Keeps a cursor; answers when it is durable. After a crash the old one is there or the new one. */
export function writeCursor(
  files: Pick<LedgerFiles, 'replace'>,
  name: string,
  { origin, next }: Cursor,
): Promise<Result<void>> {
  return files.replace(cursorFile(name), utf8(`${origin}\n${next}\n`));
}
