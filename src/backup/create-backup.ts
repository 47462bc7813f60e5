import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { readHead, readVerifier } from '../ledger/reader.ts';
import { WITNESSED_FILE } from '../ledger/witness.ts';
import {
  errnoCode,
  readFileIfPresent,
  syncDirectory,
  writeFailure,
} from '../runtime/atomic-file.ts';
import { MAX_CONFIG_BYTES } from '../runtime/config.ts';
import { FileTree } from '../runtime/file-tree.ts';
import { copyDatabase } from '../store/sqlite/copy.ts';
import { BackupWriter } from './backup-writer.ts';
import { type CheckedBackup, verifyBackup } from './check-backup.ts';
import { type KeyFileCopy, sealKeys } from './key-box.ts';
import { type BackupManifest, EARLIER_LEDGERS, FORMAT_VERSION, PARTS } from './manifest.ts';
import { KEYS_FOLDER, namesIn, partsBelow, unknownNames } from './state-files.ts';

/** What is backed up, and where to. */
export interface CreateOptions {
  readonly dataDir: string;
  /** File to be written; its folder exists. */
  readonly output: string;
  readonly trustDomain: string;
  /** Configuration file that goes along, where there is one. */
  readonly configPath: string | undefined;
  /** Given, the keys of the disk key manager go along, encrypted under it. */
  readonly passphrase: string | undefined;
  /** Version of the program. */
  readonly program: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** A backup that was written and read back. */
export interface CreatedBackup extends CheckedBackup {
  /** Names in the data directory that this program does not know, and left out. */
  readonly unknown: readonly string[];
}

/**
 * Backs a data directory up into one file (0600), whether its server runs or not. The database first,
 * then the ledger: that may be newer than the database by what happened in between, never older. The
 * file gets its name when it is whole, durable and was read back; a crash before that leaves a hidden
 * folder, which the next backup of that name removes. Fails with STATE_ABSENT, STORE_FOREIGN,
 * BACKUP_EXISTS, FILE_UNREADABLE, FILE_UNWRITABLE, DISK_FULL or BACKUP_PASSPHRASE.
 */
export async function createBackup(options: CreateOptions): Promise<Result<CreatedBackup>> {
  const output = resolve(options.output);
  if (existsSync(output)) return fail('BACKUP_EXISTS', `${output} exists`);
  const inside = relative(options.dataDir, output);
  if (!inside.startsWith('..')) {
    return fail('FILE_UNWRITABLE', `${output} lies in the data directory that it is a backup of`);
  }
  const unknown = await unknownNames(options.dataDir);
  if (!unknown.ok) return unknown;
  await removeLeftovers(output);
  const staging = join(dirname(output), `.${basename(output)}.${process.pid}.tmp`);
  try {
    await mkdir(staging, { mode: 0o700 });
    const written = await writeBackup(options, staging);
    if (!written.ok) return written;
    const checked = await verifyBackup(join(staging, 'backup'), options.passphrase);
    if (!checked.ok) return checked;
    // A crash before this line leaves no backup, after it a whole one.
    await rename(join(staging, 'backup'), output);
    await syncDirectory(dirname(output));
    return ok({ ...checked.value, unknown: unknown.value });
  } catch (error) {
    return writeFailure(output, error);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** What backups to this name left that were killed; one that still runs keeps its own. */
async function removeLeftovers(output: string): Promise<void> {
  const prefix = `.${basename(output)}.`;
  const names = await readdir(dirname(output)).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const pid = /^(\d{1,10})\.tmp$/.exec(name.slice(prefix.length))?.[1];
    if (pid !== undefined && !lives(Number(pid))) {
      await rm(join(dirname(output), name), { recursive: true, force: true });
    }
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoCode(error) === 'EPERM';
  }
}

async function writeBackup(
  options: CreateOptions,
  staging: string,
): Promise<Result<BackupManifest>> {
  const { dataDir, trustDomain } = options;
  const copy = join(staging, PARTS.database);
  const facts = copyDatabase(join(dataDir, PARTS.database), copy);
  if (!facts.ok) return facts;
  if (facts.value.trustDomain !== trustDomain) {
    return fail('STORE_FOREIGN', `database is of trust domain ${facts.value.trustDomain}`);
  }
  const begun = await BackupWriter.begin(join(staging, 'backup'));
  if (!begun.ok) return begun;
  const writer = begun.value;
  try {
    const added = await writer.addFile(PARTS.database, copy);
    if (!added.ok) return added;
    const ledger = await addLedgers(writer, dataDir);
    if (!ledger.ok) return ledger;
    const rest = await addSmallFiles(writer, options);
    if (!rest.ok) return rest;
    return await writer.finish({
      format: FORMAT_VERSION,
      program: options.program,
      trustDomain,
      createdMs: options.clock.nowMs(),
      schema: facts.value.schema,
      ledger: ledger.value,
    });
  } finally {
    await writer.close();
  }
}

/** The head is read first: log and hashes, copied after it, hold all that it covers. */
async function addLedgers(
  writer: BackupWriter,
  dataDir: string,
): Promise<Result<BackupManifest['ledger']>> {
  let ledger: BackupManifest['ledger'] = null;
  if (existsSync(join(dataDir, 'ledger-head'))) {
    const files = new FileTree(dataDir);
    const verifier = await readVerifier(files);
    if (!verifier.ok) return verifier;
    const head = await readHead(files, verifier.value);
    if (!head.ok) return head;
    const { origin, size, root, bytes } = head.value;
    ledger = { origin, size, root: Buffer.from(root).toString('base64') };
    const added = await writer.add('ledger-head', bytes);
    if (!added.ok) return added;
  }
  if (ledger !== null && existsSync(join(dataDir, WITNESSED_FILE))) {
    const added = await writer.addFile(WITNESSED_FILE, join(dataDir, WITNESSED_FILE));
    if (!added.ok) return added;
  }
  for (const folder of ledger === null ? [EARLIER_LEDGERS] : ['ledger', 'audit', EARLIER_LEDGERS]) {
    const names = await partsBelow(dataDir, folder);
    if (!names.ok) return names;
    for (const name of names.value) {
      const added = await writer.addFile(name, join(dataDir, name));
      if (!added.ok) return added;
    }
  }
  return ok(ledger);
}

async function addSmallFiles(
  writer: BackupWriter,
  { dataDir, configPath, passphrase, trustDomain, random }: CreateOptions,
): Promise<Result<void>> {
  for (const name of [PARTS.localBans, PARTS.localHolds]) {
    const path = join(dataDir, name);
    const added = existsSync(path) ? await writer.addFile(name, path) : ok(undefined);
    if (!added.ok) return added;
  }
  if (configPath !== undefined) {
    const config = await readFileIfPresent(configPath, MAX_CONFIG_BYTES);
    if (!config.ok) return config;
    const added = config.value && (await writer.add(PARTS.config, config.value));
    if (added?.ok === false) return added;
  }
  if (passphrase === undefined) return ok(undefined);
  const keys = await readKeys(dataDir);
  if (!keys.ok) return keys;
  const sealed = await sealKeys(keys.value, { passphrase, trustDomain, random });
  return sealed.ok ? writer.add(PARTS.keys, sealed.value) : sealed;
}

async function readKeys(dataDir: string): Promise<Result<readonly KeyFileCopy[]>> {
  const names = await namesIn(join(dataDir, KEYS_FOLDER));
  if (!names.ok) return names;
  const keys: KeyFileCopy[] = [];
  for (const name of names.value.filter((each) => each.endsWith('.key'))) {
    const path = join(dataDir, KEYS_FOLDER, name);
    try {
      keys.push({ name, content: await readFile(path) });
    } catch (error) {
      return fail('FILE_UNREADABLE', `${path} cannot be read (${errnoCode(error)})`, {
        cause: error,
      });
    }
  }
  return ok(keys);
}
