import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import { WITNESSED_FILE } from '../ledger/witness.ts';
import { errnoCode } from '../runtime/atomic-file.ts';
import { EARLIER_LEDGERS, isPartName, PARTS } from './manifest.ts';

/** Folder of the private keys of the disk key manager. */
export const KEYS_FOLDER = 'keys';

/** Checkpoints of a data directory, the folder of its log, and that of the places of audit sinks in it. */
const LEDGER_PARTS: readonly string[] = ['ledger-head', WITNESSED_FILE, 'ledger', 'audit'];

/** Where a restore puts the configuration file of the backup, for the operator to look at. */
export const RESTORED_CONFIG = 'restored-server.yaml';

/**
 * What else lies in a data directory and is in no backup: locks and side files of what runs; the
 * ledger's key, since a restored server begins a ledger of its own, with a key of its own.
 */
const NOT_STATE = [
  'lock',
  'server.sqlite-lock',
  'server.sqlite-wal',
  'server.sqlite-shm',
  'server.sqlite-mark',
  'ledger-key',
  'ledger-key.sealed',
  'ledger-before',
  'dpu-evidence',
  // What wraps the keys of vendors: they are given anew after a restore, and no copy can open them.
  'vendor-keys.key',
  RESTORED_CONFIG,
  'lost+found',
];

const STATE = [
  PARTS.database,
  PARTS.localBans,
  PARTS.localHolds,
  ...LEDGER_PARTS,
  EARLIER_LEDGERS,
  KEYS_FOLDER,
];

/** Names in a data directory that no backup knows, sorted; the operator is told of them. */
export async function unknownNames(dataDir: string): Promise<Result<readonly string[]>> {
  const names = await namesIn(dataDir);
  if (!names.ok) return names;
  const known = new Set([...STATE, ...NOT_STATE]);
  return ok(names.value.filter((name) => !known.has(name) && !name.startsWith('.')));
}

/** Names in a folder, sorted; none where it is absent. */
export async function namesIn(folder: string): Promise<Result<readonly string[]>> {
  try {
    return ok((await readdir(folder)).sort());
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return ok([]);
    return fail('FILE_UNREADABLE', `${folder} cannot be read (${errnoCode(error)})`, {
      cause: error,
    });
  }
}

/** Parts below a folder of the data directory, by their names in a backup, sorted. */
export async function partsBelow(
  dataDir: string,
  folder: string,
): Promise<Result<readonly string[]>> {
  try {
    const found = await readdir(join(dataDir, folder), { recursive: true, withFileTypes: true });
    return ok(
      found
        .filter((each) => each.isFile())
        .map((each) => join(each.parentPath, each.name).slice(dataDir.length + 1))
        .filter(isPartName)
        .sort(),
    );
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return ok([]);
    return fail('FILE_UNREADABLE', `${folder} cannot be read (${errnoCode(error)})`, {
      cause: error,
    });
  }
}
