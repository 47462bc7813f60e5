import { createCipheriv, createDecipheriv, scrypt } from 'node:crypto';
import { concatBytes, utf8 } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** A file of a key, by its name in the folder of keys. */
export interface KeyFileCopy {
  readonly name: string;
  readonly content: Uint8Array;
}

/** Largest box that is read, in bytes. */
export const MAX_BOX_BYTES: number = 16 * 1024 * 1024;

/** Shortest passphrase that is taken, in characters: whoever has the backup can try for years. */
export const MIN_PASSPHRASE = 16;

const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Work of one try at the passphrase: 128 MiB of memory, half a second (RFC 7914). */
const COST = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 };

/** Names that the disk key manager gives its files. */
const KEY_NAME = /^[A-Za-z0-9-]{1,64}\.key$/;

/**
 * Encrypts files of private keys under a passphrase: scrypt, then AES-256-GCM with the trust domain
 * as authenticated context. Fails with BACKUP_PASSPHRASE where that is too short.
 */
export async function sealKeys(
  keys: readonly KeyFileCopy[],
  { passphrase, trustDomain, random }: BoxContext & { readonly random: Random },
): Promise<Result<Uint8Array>> {
  if (passphrase.length < MIN_PASSPHRASE) {
    return fail('BACKUP_PASSPHRASE', `the passphrase has fewer than ${MIN_PASSPHRASE} characters`);
  }
  const salt = random.bytes(SALT_BYTES);
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', await keyOf(passphrase, salt), nonce);
  cipher.setAAD(contextOf(trustDomain));
  const plain = JSON.stringify(
    keys.map(({ name, content }) => [name, Buffer.from(content).toString('base64')]),
  );
  const sealed = [cipher.update(plain, 'utf8'), cipher.final()];
  return ok(concatBytes([salt, nonce, ...sealed, cipher.getAuthTag()]));
}

/** Decrypts what {@link sealKeys} made; fails with BACKUP_PASSPHRASE. */
export async function openKeys(
  box: Uint8Array,
  { passphrase, trustDomain }: BoxContext,
): Promise<Result<readonly KeyFileCopy[]>> {
  const salt = box.subarray(0, SALT_BYTES);
  const nonce = box.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES);
  const sealed = box.subarray(SALT_BYTES + NONCE_BYTES, -TAG_BYTES);
  try {
    const key = await keyOf(passphrase, salt);
    const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(contextOf(trustDomain));
    cipher.setAuthTag(box.subarray(-TAG_BYTES));
    const plain = Buffer.concat([cipher.update(sealed), cipher.final()]).toString('utf8');
    return readPlain(JSON.parse(plain));
  } catch (cause) {
    return fail('BACKUP_PASSPHRASE', 'the passphrase does not open the keys', { cause });
  }
}

/** What both directions need. */
export interface BoxContext {
  readonly passphrase: string;
  readonly trustDomain: string;
}

/** The tag vouches for the content; names are looked at all the same, since files are written by them. */
function readPlain(plain: unknown): Result<readonly KeyFileCopy[]> {
  const keys: KeyFileCopy[] = [];
  for (const pair of Array.isArray(plain) ? plain : []) {
    const [name, base64] = Array.isArray(pair) ? pair.map(String) : [];
    if (name === undefined || base64 === undefined || !KEY_NAME.test(name)) {
      return fail('BACKUP_INVALID', 'the box of keys holds something that is no key');
    }
    keys.push({ name, content: Buffer.from(base64, 'base64') });
  }
  return ok(keys);
}

function keyOf(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, COST, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

function contextOf(trustDomain: string): Uint8Array {
  return utf8(`signet backup of keys\n${trustDomain}\n`);
}
