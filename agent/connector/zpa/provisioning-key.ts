import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { utf8 } from '../../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { errnoCode, writeFileAtomic } from '../../../src/runtime/atomic-file.ts';
import type { Logger } from '../../../src/runtime/log.ts';
import type { ZpaSettings } from './settings.ts';

/** Where the key goes. */
export type KeyPlace = NonNullable<ZpaSettings['provisioningKey']>;

/** What became of the key. */
export type PlacedKey =
  /** It was asked for, and put in its place. */
  | 'placed'
  /** It is there already, from before a restart of the companion. */
  | 'there'
  /** The App Connector has state: it has enrolled, or is about to, and may still need its key. */
  | 'begun';

/** What placing a key stands on. */
export interface PlaceKeyParts {
  /** Asks the server for the vendor's key; each connector that asks is counted as a use. */
  readonly getKey: () => Promise<Result<string>>;
  readonly log: Logger;
}

/**
 * Puts the vendor's key where a fresh App Connector looks for it. One that has state is left alone, so
 * that a restart burns no use. Fails with FILE_UNREADABLE, those of writing, and those of `getKey`.
 */
export async function placeProvisioningKey(
  place: KeyPlace,
  { getKey, log }: PlaceKeyParts,
): Promise<Result<PlacedKey>> {
  const state = await stateOf(place);
  if (!state.ok) return state;
  if (state.value.length > 0) return ok('begun');
  const there = await readFile(place.path, 'latin1').catch(() => '');
  if (there.trim() !== '') return ok('there');
  const key = await getKey();
  if (!key.ok) return key;
  const written = await writeFileAtomic(place.path, utf8(`${key.value}\n`), { mode: place.mode });
  if (!written.ok) return written;
  log.info({ path: place.path }, 'provisioning key put in its place');
  return ok('placed');
}

/** Takes the key away; to be called once the App Connector has enrolled. One that is gone is fine. */
export async function removeProvisioningKey(place: KeyPlace, log: Logger): Promise<Result<void>> {
  try {
    await rm(place.path);
    log.info({ path: place.path }, 'provisioning key taken away: the App Connector has enrolled');
    return ok(undefined);
  } catch (cause) {
    if (errnoCode(cause) === 'ENOENT') return ok(undefined);
    return fail('FILE_UNWRITABLE', `${place.path} cannot be removed (${errnoCode(cause)})`, {
      cause,
    });
  }
}

/** Names in the folder of its state that are state. */
async function stateOf({ stateDir, path, ignore }: KeyPlace): Promise<Result<readonly string[]>> {
  const ours = dirname(path) === stateDir ? [basename(path)] : [];
  try {
    const names = await readdir(stateDir);
    const isState = (name: string): boolean =>
      // Temporary files of ours, which a kill left.
      !ours.some((own) => name === own || name.startsWith(`.${own}`)) && !ignore.includes(name);
    return ok(names.filter(isState));
  } catch (cause) {
    if (errnoCode(cause) === 'ENOENT') return ok([]);
    return fail('FILE_UNREADABLE', `${stateDir} cannot be read (${errnoCode(cause)})`, { cause });
  }
}
