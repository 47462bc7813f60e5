import { fail, ok, type Result } from '../base/result.ts';
import { auditLedger } from '../ledger/audit.ts';
import type { SignedCheckpoint } from '../ledger/checkpoint.ts';
import { readHead, readVerifier } from '../ledger/reader.ts';
import { inspectDatabase, MAX_LOOKED_INTO_BYTES, SCHEMA_VERSION } from '../store/sqlite/copy.ts';
import { BackupFile } from './backup-file.ts';
import { type KeyFileCopy, MAX_BOX_BYTES, openKeys } from './key-box.ts';
import { type BackupManifest, PARTS } from './manifest.ts';

/** What {@link checkBackup} found in a good backup. */
export interface CheckedBackup {
  readonly manifest: BackupManifest;
  readonly bytes: number;
  /** Keys in it; undefined where there are some and no passphrase to open them was given. */
  readonly keys: readonly KeyFileCopy[] | undefined;
  /** Records of the ledger whose bodies are in it, each read and hashed. */
  readonly records: number;
}

/** Opens a file and checks it; fails with FILE_UNREADABLE, or as {@link checkBackup}. */
export async function verifyBackup(
  path: string,
  passphrase: string | undefined,
): Promise<Result<CheckedBackup>> {
  const file = await BackupFile.open(path);
  if (!file.ok) return file;
  try {
    return await checkBackup(file.value, passphrase);
  } finally {
    await file.value.close();
  }
}

/**
 * Reads every byte of a backup against its checksum, looks into the database, and leads the records of
 * the ledger to its checkpoint; writes nothing. Fails with BACKUP_INVALID, BACKUP_NEWER or
 * BACKUP_PASSPHRASE.
 */
export async function checkBackup(
  file: BackupFile,
  passphrase?: string,
): Promise<Result<CheckedBackup>> {
  const { manifest, bytes } = file;
  if (manifest.schema > SCHEMA_VERSION) {
    const what = `its database has schema ${manifest.schema}, this program knows up to ${SCHEMA_VERSION}`;
    return fail('BACKUP_NEWER', `${what}; it was made by signet ${manifest.program}`);
  }
  for (const { name } of manifest.parts) {
    const whole = await file.stream(name, () => ok(undefined));
    if (!whole.ok) return whole;
  }
  const database = await checkDatabase(file);
  if (!database.ok) return database;
  const records = await checkLedger(file);
  if (!records.ok) return records;
  const keys = await keysOf(file, passphrase);
  return keys.ok ? ok({ manifest, bytes, keys: keys.value, records: records.value }) : keys;
}

/** One that is too large for memory was looked into when it was made; its checksum vouches for it. */
async function checkDatabase(file: BackupFile): Promise<Result<void>> {
  const { manifest } = file;
  const size = manifest.parts.find(({ name }) => name === PARTS.database)?.bytes ?? 0;
  if (size > MAX_LOOKED_INTO_BYTES) return ok(undefined);
  const bytes = await file.read(PARTS.database, MAX_LOOKED_INTO_BYTES);
  if (!bytes.ok) return bytes;
  const facts = inspectDatabase(bytes.value);
  if (!facts.ok) return invalid(facts.error.message, facts.error);
  const { trustDomain, schema } = facts.value;
  if (trustDomain === manifest.trustDomain && schema === manifest.schema) return ok(undefined);
  return invalid('its database is not the one that its manifest speaks of');
}

async function checkLedger(file: BackupFile): Promise<Result<number>> {
  const { ledger } = file.manifest;
  const [head] = ['ledger-head'].filter((name) => file.has(name));
  if (ledger === null) {
    return head === undefined
      ? ok(0)
      : invalid('it holds a ledger that its manifest does not name');
  }
  const checkpoint = await readLedgerHead(file);
  if (!checkpoint.ok) return invalid(checkpoint.error.message, checkpoint.error);
  const { origin, size, root } = checkpoint.value;
  const same =
    ledger.origin === origin &&
    ledger.size === size &&
    ledger.root === Buffer.from(root).toString('base64');
  if (!same) return invalid('its ledger is not the one that its manifest speaks of');
  const audited = await auditLedger(file.filesBelow(''), checkpoint.value);
  return audited.ok
    ? ok(audited.value.records)
    : invalid(`its ledger: ${audited.error.message}`, audited.error);
}

/** The checkpoint of the ledger in a backup, signed by the key that is in it too. */
export async function readLedgerHead(file: BackupFile): Promise<Result<SignedCheckpoint>> {
  const files = file.filesBelow('');
  const verifier = await readVerifier(files);
  return verifier.ok ? readHead(files, verifier.value) : verifier;
}

async function keysOf(
  file: BackupFile,
  passphrase: string | undefined,
): Promise<Result<readonly KeyFileCopy[] | undefined>> {
  if (!file.has(PARTS.keys)) return ok([]);
  if (passphrase === undefined) return ok(undefined);
  const box = await file.read(PARTS.keys, MAX_BOX_BYTES);
  if (!box.ok) return box;
  return openKeys(box.value, { passphrase, trustDomain: file.manifest.trustDomain });
}

function invalid(what: string, cause?: unknown): Result<never> {
  return fail('BACKUP_INVALID', what, { cause });
}
