import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import {
  type Ed25519Key,
  ed25519KeyOf,
  makeEd25519File,
  readEd25519File,
} from '../keys/ed25519-file.ts';
import { createSealedFile } from '../keys/sealed/sealed-file.ts';
import { openSealedKeys } from '../keys/sealed/sealed-keys.ts';
import type { KeyWrapper } from '../keys/wrapper.ts';
import { HEAD_FILE } from '../ledger/files.ts';
import { syncDirectory } from '../runtime/atomic-file.ts';
import type { FileTree } from '../runtime/file-tree.ts';
import { protectionOf } from './protection.ts';
import type { ServerBase } from './server.ts';

/** The key in the data directory: as it is, or sealed. */
const CLEAR_FILE = 'ledger-key';
const SEALED_FILE = 'ledger-key.sealed';
const SLOT = 'Ledger';

/** Where the ledger and its key lie, and what seals. */
export interface LedgerKeyParts {
  readonly directory: string;
  /** Of the data directory. */
  readonly files: FileTree;
  /** Undefined where the key manager has none. */
  readonly wrapper: KeyWrapper | undefined;
}

/**
 * The key that signs checkpoints, which is this server's own. It is made with the ledger, never after
 * it: another key would pass for another log.
 */
export function openLedgerKey(
  base: ServerBase,
  parts: LedgerKeyParts,
): Promise<Result<Ed25519Key>> {
  const { wrapper } = parts;
  if (protectionOf(base.config).ledger === 'file') return fileKey(parts);
  if (wrapper !== undefined) return sealedKey(base, { ...parts, wrapper });
  const message = `ledger.protection: keys.manager ${base.config.keys.manager} seals no keys`;
  return Promise.resolve(fail('KEY_MANAGER_SETTINGS', message));
}

async function fileKey({ directory, files }: LedgerKeyParts): Promise<Result<Ed25519Key>> {
  const path = join(directory, CLEAR_FILE);
  const found = await readEd25519File(path);
  if (!found.ok) return found;
  if (found.value !== undefined) return ok(ed25519KeyOf(found.value));
  const sealed = await files.size(SEALED_FILE);
  const mayMake = await refuseLateKey(files, path);
  if (mayMake.ok) return makeEd25519File(path);
  if (!sealed.ok || sealed.value === undefined) return mayMake;
  const message = `the key of the ledger is sealed, in ${SEALED_FILE}: set ledger.protection to sealed`;
  return fail('LEDGER_HEAD_MISSING', message);
}

/**
 * The same key once it is sealed, so that the verifier and all its checkpoints stay: a key in the clear
 * is sealed first, then its file is removed. A crash in between leaves both, and the next start goes on.
 */
async function sealedKey(
  base: ServerBase,
  { directory, files, wrapper }: LedgerKeyParts & { readonly wrapper: KeyWrapper },
): Promise<Result<Ed25519Key>> {
  const { config, clock, random, log, life } = base;
  const clearPath = join(directory, CLEAR_FILE);
  const path = join(directory, SEALED_FILE);
  const clear = await readEd25519File(clearPath);
  const stands = await files.size(SEALED_FILE);
  if (!clear.ok) return clear;
  if (!stands.ok) return stands;
  if (clear.value === undefined && stands.value === undefined) {
    const mayMake = await refuseLateKey(files, path);
    if (!mayMake.ok) return mayMake;
  }
  const keys = await openSealedKeys({
    trustDomain: config.trustDomain.name,
    wrapper,
    store: createSealedFile(path, SLOT),
    clock,
    random,
    log,
    // Wrapped anew when the wrapping key is another; that is replaced for all sealed keys in one place.
    rotateAfterMs: 0,
  });
  if (!keys.ok) return keys;
  life.add('sealed key of the ledger', () => keys.value.close());
  const key = await keys.value.ed25519(SLOT, clear.value);
  if (!key.ok || clear.value === undefined) return key;
  if (!equalBytes(ed25519KeyOf(clear.value).publicKeySpki, key.value.publicKeySpki)) {
    const message = `${clearPath} and ${path} hold two keys: take away the one that is not the ledger's`;
    return fail('LEDGER_HEAD_MISSING', message);
  }
  await unlink(clearPath);
  await syncDirectory(directory);
  log.info({ path }, 'the key of the ledger is sealed now; its file in the clear is removed');
  return key;
}

/** Refuses to make a key where there is a ledger already. */
async function refuseLateKey(files: FileTree, path: string): Promise<Result<void>> {
  const head = await files.size(HEAD_FILE);
  if (!head.ok) return head;
  if (head.value === undefined) return ok(undefined);
  return fail('LEDGER_HEAD_MISSING', `there is a ledger, but ${path} with its key is gone`);
}
