import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { PREVIOUS_FILE } from '../ledger/epoch.ts';
import { syncDirectory, writeFailure, writeFileAtomic } from '../runtime/atomic-file.ts';
import { LOCK_FILE, openDataDir } from '../runtime/data-dir.ts';
import { renumberDatabase } from '../store/sqlite/renumber.ts';
import { BackupFile } from './backup-file.ts';
import { type CheckedBackup, checkBackup, readLedgerHead } from './check-backup.ts';
import { type BackupManifest, EARLIER_LEDGERS, isLedgerPart, PARTS } from './manifest.ts';
import { KEYS_FOLDER, namesIn, RESTORED_CONFIG } from './state-files.ts';
import { UNFINISHED_FILE } from './whole.ts';

/** What is restored, and where to. */
export interface RestoreOptions {
  readonly file: string;
  /** Made where it is absent; empty but for what an interrupted restore left. */
  readonly dataDir: string;
  readonly trustDomain: string;
  /** Opens the keys that are in the backup; without it they stay there. */
  readonly passphrase: string | undefined;
  /** Whether the operator knows what is lost. */
  readonly acknowledged: boolean;
  readonly clock: Clock;
}

/**
 * Restores a backup into an empty data directory. All of it is checked before anything is written;
 * from the first byte to the last a mark stands in the directory with which no server starts on it,
 * and which lets the next restore clear what this one left when it was interrupted. The ledger of the
 * backup goes to `earlier-ledgers`, and the server begins a new one: going on with the old one would
 * sign a second history where records came after the backup (I9). Fails as {@link checkBackup}, with
 * BACKUP_FOREIGN, BACKUP_NOT_ACKNOWLEDGED, BACKUP_TARGET_NOT_EMPTY, DATA_DIR_LOCKED, DATA_DIR_UNSAFE,
 * DISK_FULL or FILE_UNWRITABLE.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Result<CheckedBackup>> {
  const opened = await BackupFile.open(options.file);
  if (!opened.ok) return opened;
  const file = opened.value;
  try {
    const checked = await checkBackup(file, options.passphrase);
    if (!checked.ok) return checked;
    const wanted = refuseUnwanted(checked.value, options);
    if (!wanted.ok) return wanted;
    const placed = placesOf(file.manifest);
    if (!placed.ok) return placed;
    const restored = await intoDirectory(options, (directory) =>
      writeState({ file, checked: checked.value, places: placed.value, directory }),
    );
    return restored.ok ? checked : restored;
  } finally {
    await file.close();
  }
}

function refuseUnwanted(
  { manifest }: CheckedBackup,
  { trustDomain, acknowledged, clock }: RestoreOptions,
): Result<void> {
  if (manifest.trustDomain !== trustDomain) {
    return fail('BACKUP_FOREIGN', `it is of ${manifest.trustDomain}, not of ${trustDomain}`);
  }
  if (acknowledged) return ok(undefined);
  const made = new Date(manifest.createdMs).toISOString();
  const hours = Math.max(0, (clock.nowMs() - manifest.createdMs) / 3_600_000).toFixed(1);
  const lost = 'registered, banned, revoked or issued';
  return fail(
    'BACKUP_NOT_ACKNOWLEDGED',
    `the backup was made at ${made}, ${hours} hours ago: what was ${lost} after that is not in it`,
  );
}

/** Where each part goes, from the data directory on. Names were checked with the manifest. */
function placesOf({ ledger, parts }: BackupManifest): Result<ReadonlyMap<string, string>> {
  const epoch = /\/([0-9a-f]{1,64})$/.exec(ledger?.origin ?? '')?.[1];
  if (ledger !== null && epoch === undefined) {
    return fail('BACKUP_INVALID', 'its ledger has an origin that this program does not make');
  }
  const places = new Map<string, string>();
  for (const { name } of parts) {
    if (name === PARTS.keys) continue;
    const isLedger = isLedgerPart(name);
    if (isLedger && epoch === undefined)
      return fail('BACKUP_INVALID', `it holds ${name} of no ledger`);
    const own = name === PARTS.config ? RESTORED_CONFIG : name;
    places.set(name, isLedger ? `${EARLIER_LEDGERS}/${epoch}/${name}` : own);
  }
  if (new Set(places.values()).size === places.size) return ok(places);
  return fail('BACKUP_INVALID', 'it holds a ledger twice');
}

/** Takes the directory for this process alone, and has the mark stand while the work is done. */
async function intoDirectory(
  { dataDir }: RestoreOptions,
  work: (directory: string) => Promise<Result<void>>,
): Promise<Result<void>> {
  const dir = await openDataDir(dataDir);
  if (!dir.ok) return dir;
  const { path, release } = dir.value;
  const mark = join(path, UNFINISHED_FILE);
  try {
    const cleared = await clearUnfinished(path);
    if (!cleared.ok) return cleared;
    const marked = await writeFileAtomic(mark, new Uint8Array());
    if (!marked.ok) return marked;
    const done = await work(path);
    // What was refused leaves nothing; what crashes leaves the mark, and the next restore clears it.
    if (!done.ok) await clearUnfinished(path);
    await rm(mark, { force: true });
    await syncDirectory(path);
    return done;
  } catch (error) {
    return writeFailure(path, error);
  } finally {
    release();
  }
}

async function clearUnfinished(path: string): Promise<Result<void>> {
  const names = await namesIn(path);
  if (!names.ok) return names;
  const found = names.value.filter((name) => name !== LOCK_FILE && name !== 'lost+found');
  if (found.length > 0 && !found.includes(UNFINISHED_FILE)) {
    const what = found.slice(0, 5).join(', ');
    return fail('BACKUP_TARGET_NOT_EMPTY', `there is already something in ${path}: ${what}`);
  }
  // The mark last: a crash in between leaves it.
  for (const name of found.filter((each) => each !== UNFINISHED_FILE)) {
    await rm(join(path, name), { recursive: true, force: true });
  }
  return ok(undefined);
}

interface RestoreWork {
  readonly file: BackupFile;
  readonly checked: CheckedBackup;
  readonly places: ReadonlyMap<string, string>;
  readonly directory: string;
}

async function writeState(work: RestoreWork): Promise<Result<void>> {
  const { file, checked, places, directory } = work;
  for (const [name, place] of places) {
    const written = await writePart(file, name, join(directory, place));
    if (!written.ok) return written;
  }
  for (const { name, content } of checked.keys ?? []) {
    const keys = join(directory, KEYS_FOLDER);
    await mkdir(keys, { recursive: true, mode: 0o700 });
    const written = await writeFileAtomic(join(keys, name), content);
    if (!written.ok) return written;
  }
  if (checked.manifest.ledger !== null) {
    const head = await readLedgerHead(file);
    if (!head.ok) return head;
    const written = await writeFileAtomic(join(directory, PREVIOUS_FILE), head.value.bytes);
    if (!written.ok) return written;
  }
  return renumberDatabase(join(directory, PARTS.database), checked.manifest.trustDomain);
}

/** The part is compared with its checksum once more: it may have changed since it was looked at. */
async function writePart(file: BackupFile, name: string, path: string): Promise<Result<void>> {
  let target: FileHandle | undefined;
  try {
    await makeFolders(dirname(path));
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const opened = await open(path, flags, 0o600);
    target = opened;
    const copied = await file.stream(name, async (piece) => {
      await opened.writeFile(piece);
      return ok(undefined);
    });
    if (!copied.ok) return copied;
    await opened.sync();
    await syncDirectory(dirname(path));
    return ok(undefined);
  } catch (error) {
    return writeFailure(path, error);
  } finally {
    await target?.close();
  }
}

async function makeFolders(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  // Folders made on the way are durable only once those above them are.
  for (let folder = path; first !== undefined && folder.length >= first.length; ) {
    folder = dirname(folder);
    await syncDirectory(folder);
  }
}
