import { createPrivateKey, type KeyObject } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from '../runtime/atomic-file.ts';
import { KEY_TYPES, type SigningKey } from './key-manager.ts';
import { importLocalKey } from './local-key.ts';

/** Largest key file that is read, in bytes; an RSA-4096 key takes 3.3 KiB. */
const MAX_KEY_FILE_BYTES = 65_536;

/**
 * The private key of a PEM file (PKCS#8, or OpenSSL's older forms) that an operator keeps. Others than
 * its owner's group must not read it, nor the group write it, and it must be ours or root's: links are
 * followed, as mounted secrets are links. Fails with KEY_PERMISSIONS or KEY_FILE_CORRUPT; never says
 * what the file holds.
 */
export async function readPemKeyFile(path: string, slot: string): Promise<Result<SigningKey>> {
  let file: FileHandle | undefined;
  try {
    // Not blocking, so that a FIFO in the file's place cannot hold the process up.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    if ((found.mode & 0o027) !== 0) {
      return fail('KEY_PERMISSIONS', `${path} is open to other users`);
    }
    if (found.uid !== process.geteuid?.() && found.uid !== 0) {
      return fail('KEY_PERMISSIONS', `${path} does not belong to the user that runs this process`);
    }
    if (!found.isFile() || found.size > MAX_KEY_FILE_BYTES) {
      return fail('KEY_FILE_CORRUPT', `${path} is no key file`);
    }
    return importPem(path, slot, await file.readFile());
  } catch (cause) {
    return fail('KEY_FILE_CORRUPT', `${path} cannot be read (${errnoCode(cause)})`, { cause });
  } finally {
    await file?.close();
  }
}

function importPem(path: string, slot: string, pem: Buffer): Result<SigningKey> {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    return fail('KEY_FILE_CORRUPT', `${path} holds no private key without a passphrase`);
  }
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
  for (const type of KEY_TYPES) {
    const imported = importLocalKey({ slot, type, pkcs8 });
    if (imported !== undefined) return ok(imported);
  }
  return fail('KEY_FILE_CORRUPT', `${path} holds a key of none of: ${KEY_TYPES.join(', ')}`);
}
