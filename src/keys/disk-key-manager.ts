import { constants } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import { removeStaleTemporaries, writeFileAtomic } from '../runtime/atomic-file.ts';
import { decodeKeyFile, encodeKeyFile } from './key-file.ts';
import type { KeyManager, KeyType, SigningKey } from './key-manager.ts';
import { generateLocalKey, localCapabilities } from './local-key.ts';
import { checkSlot } from './slot.ts';

const SUFFIX = '.key';

/**
 * Opens the keys of a folder (0700, made when missing), one file each (0600). One damaged or
 * readable-by-others file refuses the whole: a server that quietly made a new authority instead
 * would hide an incident.
 */
export async function openDiskKeyManager(directory: string): Promise<Result<KeyManager>> {
  const keys = new Map<string, SigningKey>();
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const safe = checkMode(directory, await stat(directory));
    if (!safe.ok) return safe;
    // A crash before the rename left them: nothing refers to such a key, its predecessor stands.
    await removeStaleTemporaries(directory);
    for (const name of await readdir(directory)) {
      const loaded = await loadFile(directory, name);
      if (!loaded.ok) return loaded;
      if (loaded.value !== undefined) keys.set(loaded.value.slot, loaded.value);
    }
  } catch (cause) {
    return fail('KEY_DIRECTORY', `cannot read the keys in ${directory}`, { cause });
  }
  return ok(new DiskKeyManager(directory, keys));
}

async function loadFile(directory: string, name: string): Promise<Result<SigningKey | undefined>> {
  if (!name.endsWith(SUFFIX)) return ok(undefined);
  const path = join(directory, name);
  const slot = name.slice(0, -SUFFIX.length);
  const named = checkSlot(slot);
  if (!named.ok) return named;
  // Mode and content of one open file, never of a link: a swap between two looks changes nothing.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const safe = checkMode(path, await file.stat());
    return safe.ok ? decodeKeyFile(slot, await file.readFile()) : safe;
  } finally {
    await file.close();
  }
}

function checkMode(path: string, found: { mode: number; uid: number }): Result<void> {
  if ((found.mode & 0o077) !== 0) {
    return fail('KEY_PERMISSIONS', `${path} is open to other users`);
  }
  if (found.uid !== process.geteuid?.()) {
    return fail('KEY_PERMISSIONS', `${path} does not belong to the user that runs this process`);
  }
  return ok(undefined);
}

class DiskKeyManager implements KeyManager {
  readonly name = 'disk';
  readonly capabilities = localCapabilities({ persistent: true });
  readonly #directory: string;
  readonly #keys: Map<string, SigningKey>;
  /** Writes go one after another: two of one slot must not share the temporary file. */
  #lastWrite: Promise<unknown> = Promise.resolve();

  constructor(directory: string, keys: Map<string, SigningKey>) {
    this.#directory = directory;
    this.#keys = keys;
  }

  async generate(slot: string, type: KeyType): Promise<Result<SigningKey>> {
    const named = checkSlot(slot);
    if (!named.ok) return named;
    const made = await generateLocalKey(slot, type);
    if (!made.ok) return made;
    const written = this.#lastWrite.then(() => this.#write(made.value));
    this.#lastWrite = written;
    return written;
  }

  async #write(key: SigningKey): Promise<Result<SigningKey>> {
    const pkcs8 = key.exportPkcs8();
    if (pkcs8 === undefined) throw new TypeError('a key made in this process is exportable');
    const path = join(this.#directory, key.slot + SUFFIX);
    const written = await writeFileAtomic(path, encodeKeyFile(key, pkcs8));
    if (!written.ok) return written;
    this.#keys.set(key.slot, key);
    return ok(key);
  }

  get(slot: string): SigningKey | undefined {
    return this.#keys.get(slot);
  }

  list(): readonly SigningKey[] {
    return [...this.#keys.values()];
  }

  release(slot: string): Promise<Result<void>> {
    const removed = this.#lastWrite.then(() => this.#remove(slot));
    this.#lastWrite = removed;
    return removed;
  }

  async #remove(slot: string): Promise<Result<void>> {
    const key = this.#keys.get(slot);
    if (key === undefined) return ok(undefined);
    const path = join(this.#directory, key.slot + SUFFIX);
    try {
      await rm(path, { force: true });
    } catch (cause) {
      return fail('KEY_DIRECTORY', `cannot remove ${path}`, { cause });
    }
    this.#keys.delete(slot);
    return ok(undefined);
  }

  /** Nobody else writes the folder: the data directory is locked. */
  refresh(): Promise<Result<void>> {
    return Promise.resolve(ok(undefined));
  }

  standing(): Result<void> {
    return ok(undefined);
  }

  async close(): Promise<void> {
    await this.#lastWrite;
    this.#keys.clear();
  }
}
