import { fail, ok, type Result } from '../../base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../../runtime/atomic-file.ts';
import type { Database } from './database.ts';

/** What a database is known by again: which one it is, and how many transactions it has seen. */
export interface StoreMark {
  readonly databaseId: string;
  readonly commits: number;
}

/** Beside the database, with this at the end of its name. */
const MARK_SUFFIX = '-mark';

const MAX_MARK_BYTES = 256;

/** Transactions after which the mark is written again, unless time has it written before. */
const COMMITS_BETWEEN = 64;

/** The mark as the database itself has it. */
export function markIn(db: Database): StoreMark {
  const value = (key: string): string =>
    db.get<{ value: string }>('SELECT value FROM meta WHERE key = ?', key)?.value ?? '';
  return { databaseId: value('database_id'), commits: Number(value('commits')) };
}

/** Counts one more transaction, within it. */
export function countCommit(db: Database): void {
  db.run("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'commits'");
}

/**
 * Refuses a database that is older than the mark beside it, or another one (STORE_ROLLED_BACK): who was
 * banned since would be let in, and tokens that were used would be good again. None beside it says
 * nothing: it was written by a program that kept none.
 */
export async function refuseOlder(path: string, found: StoreMark): Promise<Result<void>> {
  const bytes = await readFileIfPresent(path + MARK_SUFFIX, MAX_MARK_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return ok(undefined);
  const kept = parseMark(Buffer.from(bytes.value).toString('latin1'));
  if (kept === undefined) return fail('STORE_CORRUPT', `${path}${MARK_SUFFIX} is damaged`);
  if (kept.databaseId !== found.databaseId) {
    return fail('STORE_ROLLED_BACK', `${path} is another database than the one that was here`);
  }
  if (found.commits >= kept.commits) return ok(undefined);
  const counts = `it has seen ${found.commits} transactions of ${kept.commits}`;
  return fail('STORE_ROLLED_BACK', `${path} is an older copy: ${counts}`);
}

function parseMark(text: string): StoreMark | undefined {
  const [, databaseId, commits] = /^([0-9a-f]{32}) (\d{1,15})\n$/.exec(text) ?? [];
  if (databaseId === undefined || commits === undefined) return undefined;
  return { databaseId, commits: Number(commits) };
}

/**
 * Keeps the mark beside the database. It is written after what it tells of is durable, so a crash at
 * any point leaves one that is behind, never one that is ahead.
 */
export class MarkKeeper {
  readonly #path: string;
  readonly #databaseId: string;
  #commits: number;
  /** -1 until the first write. */
  #written = -1;
  #writing: Promise<void> | undefined;

  constructor(path: string, { databaseId, commits }: StoreMark) {
    this.#path = path + MARK_SUFFIX;
    this.#databaseId = databaseId;
    this.#commits = commits;
  }

  /**
   * Transactions were committed, as many as that in all.
   *
   * @param due Whether the mark is to be written now, however few there are since the last.
   */
  committed(commits: number, due: boolean): void {
    this.#commits = commits;
    if (due || commits - this.#written >= COMMITS_BETWEEN) this.#begin();
  }

  /** One that cannot be written is tried again with the next. */
  #begin(): void {
    if (this.#commits > this.#written) this.#writing ??= this.#write();
  }

  /** Answers when the mark is as far as the database, or could not be written. */
  async flush(): Promise<void> {
    await this.#writing;
    this.#begin();
    await this.#writing;
  }

  async #write(): Promise<void> {
    const commits = this.#commits;
    const bytes = Buffer.from(`${this.#databaseId} ${commits}\n`, 'latin1');
    const written = await writeFileAtomic(this.#path, bytes);
    if (written.ok) this.#written = commits;
    this.#writing = undefined;
  }
}
