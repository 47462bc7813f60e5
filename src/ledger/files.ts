import type { Result } from '../base/result.ts';

/**
 * The files that a ledger stands on, handed in. Names are relative paths of the program's own making,
 * such as `ledger/hashes/0`. What fails for lack of space answers DISK_FULL, anything else
 * FILE_UNWRITABLE or FILE_UNREADABLE.
 */
export interface LedgerFiles {
  /** Names in a folder, sorted; none where it is absent. */
  list(folder: string): Promise<Result<readonly string[]>>;
  /** Size in bytes; undefined where there is no such file. */
  size(name: string): Promise<Result<number | undefined>>;
  /** Bytes from an offset on; fewer where the file ends, none where it is absent. */
  read(name: string, offset: number, length: number): Promise<Result<Uint8Array>>;
  /** Makes an empty file with its folders; answers when its name is durable. */
  create(name: string): Promise<Result<void>>;
  /** Writes to an existing file and answers when the bytes are durable: one fsync. */
  writeDurably(name: string, offset: number, bytes: Uint8Array): Promise<Result<void>>;
  /** Writes to a file, made if absent; durable only after {@link sync}. */
  write(name: string, offset: number, bytes: Uint8Array): Promise<Result<void>>;
  sync(name: string): Promise<Result<void>>;
  /** Cuts a file, durably. */
  truncate(name: string, size: number): Promise<Result<void>>;
  /** Replaces a whole file: after a crash the old bytes are there or the new ones. */
  replace(name: string, bytes: Uint8Array): Promise<Result<void>>;
  remove(name: string): Promise<Result<void>>;
}

/** Folder of everything that a ledger keeps, but for its head. */
export const LEDGER_FOLDER = 'ledger';

/** The last checkpoint, kept apart from the log so that an older copy of it is noticed. */
export const HEAD_FILE = 'ledger-head';

/** Verifier key of the checkpoints, for whoever reads the folder. */
export const VERIFIER_FILE = `${LEDGER_FOLDER}/verifier`;

/** Folder of the segments of the log. */
export const LOG_FOLDER = `${LEDGER_FOLDER}/log`;

/** Largest head and verifier key that are read, in bytes. */
export const MAX_SMALL_FILE_BYTES = 64 * 1024;

/** Whole content of a small file; undefined where it is absent. */
export async function readWhole(
  files: Pick<LedgerFiles, 'size' | 'read'>,
  name: string,
): Promise<Result<Uint8Array | undefined>> {
  const size = await files.size(name);
  if (!size.ok || size.value === undefined) return size.ok ? { ok: true, value: undefined } : size;
  return files.read(name, 0, Math.min(size.value, MAX_SMALL_FILE_BYTES));
}
