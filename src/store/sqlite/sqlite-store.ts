import { chmodSync, closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { toHex } from '../../base/bytes.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { type Random, systemRandom } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { lockFile } from '../../runtime/file-lock.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { Store } from '../store.ts';
import { SqliteStore } from './store.ts';
import { type StoreThreadEvent, WorkerClient } from './worker-client.ts';

/** Changes that the feed keeps unless told otherwise. */
const DEFAULT_KEPT_CHANGES = 10_000;

/** Where and whose the database is. */
export interface SqliteStoreOptions {
  /** Database file; made 0600 if absent, its folder 0700. */
  readonly path: string;
  /** A database of another one is refused. */
  readonly trustDomain: TrustDomain;
  /** For the identity of the feed, and for the waits before its thread is started again. */
  readonly random?: Random;
  readonly clock?: Clock;
  /** Told when the thread of the database ended, and when it runs again. */
  readonly onThread?: (event: StoreThreadEvent) => void;
  /** Changes that the feed keeps; a follower further behind reads the whole state again. */
  readonly keptChanges?: number;
}

/**
 * Opens the embedded database for this process alone. Fails with STORE_LOCKED, STORE_SCHEMA_NEWER,
 * STORE_FOREIGN, STORE_CORRUPT, STORE_FULL, STORE_READ_ONLY, STORE_UNUSABLE or STORE_IO.
 *
 * Each opening is a feed of its own: a restored backup may have counted the same sequence with other
 * changes, so nobody may resume across it.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Result<Store>> {
  const { path, trustDomain, random = systemRandom, clock = systemClock } = options;
  const prepared = prepareFile(path);
  if (!prepared.ok) return prepared;
  const lock = lockFile(`${path}-lock`);
  if (!lock.ok) {
    const code = lock.error.code === 'DATA_DIR_LOCKED' ? 'STORE_LOCKED' : 'STORE_UNUSABLE';
    return fail(code, `database ${path} cannot be locked: ${lock.error.message}`);
  }
  const keptChanges = options.keptChanges ?? DEFAULT_KEPT_CHANGES;
  const worker = await WorkerClient.start({
    start: { path, trustDomain: trustDomain.name, keptChanges },
    clock,
    random,
    onThread: options.onThread ?? (() => {}),
  });
  if (!worker.ok) {
    lock.value.release();
    return worker;
  }
  const feedId = toHex(random.bytes(16));
  return ok(new SqliteStore({ worker: worker.value, lock: lock.value, trustDomain, feedId }));
}

/** SQLite gives its side files the permissions of the database, so that is made first. */
function prepareFile(path: string): Result<void> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    closeSync(openSync(path, flags, 0o600));
    chmodSync(path, 0o600);
    return ok(undefined);
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unknown failure';
    const code = why === 'EROFS' || why === 'EACCES' ? 'STORE_READ_ONLY' : 'STORE_UNUSABLE';
    return fail(code, `database ${path} cannot be opened (${why})`, { cause: error });
  }
}
