import { hkdfSync } from 'node:crypto';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { writeFileAtomic } from '../runtime/atomic-file.ts';
import { BOX_KEY_BYTES, openBox, sealBox } from './box.ts';
import { readPrivateFile } from './private-file.ts';
import { contextBytes, type KeyWrapper, type WrapContext } from './wrapper.ts';

const FORMAT = 'signet-wrapping-key-1';
const KEY_ID = 'file';
const SALT_BYTES = 32;

/** What wraps and opens; there is no other key to change to. */
export type FileWrapper = Pick<KeyWrapper, 'wrap' | 'unwrap'>;

/**
 * Wraps by a key in a file (0600) of this server, made at the first use: for servers whose key manager
 * has no wrapping key. It keeps secrets out of the database, its copies and its backups; whoever can
 * read the data directory can open them.
 */
export function createFileWrapper(path: string, random: Random): FileWrapper {
  const boxKey = (key: Uint8Array, salt: Uint8Array, context: WrapContext) => ({
    // Another key for each box, so that no nonce can come twice under one.
    key: new Uint8Array(hkdfSync('sha256', key, salt, FORMAT, BOX_KEY_BYTES)),
    associatedData: contextBytes(context),
  });
  return {
    async wrap(secret, context) {
      const key = await readOrMake(path, random);
      if (!key.ok) return key;
      const salt = random.bytes(SALT_BYTES);
      const box = sealBox(boxKey(key.value, salt, context), secret, random);
      return ok({ wrappingKeyId: KEY_ID, ciphertext: Buffer.concat([salt, box]) });
    },
    async unwrap({ ciphertext }, context) {
      const key = await readKey(path);
      if (!key.ok) return key;
      if (key.value === undefined) return fail('KEY_SEAL_BROKEN', `${path} is gone`);
      const salt = ciphertext.subarray(0, SALT_BYTES);
      try {
        return ok(openBox(boxKey(key.value, salt, context), ciphertext.subarray(SALT_BYTES)));
      } catch (cause) {
        return fail('KEY_SEAL_BROKEN', `${path} is not the key that it was wrapped by`, { cause });
      }
    },
  };
}

async function readOrMake(path: string, random: Random): Promise<Result<Uint8Array>> {
  const found = await readKey(path);
  if (!found.ok) return found;
  if (found.value !== undefined) return ok(found.value);
  const key = random.bytes(BOX_KEY_BYTES);
  const text = `${FORMAT}\n${Buffer.from(key).toString('base64')}\n`;
  const written = await writeFileAtomic(path, Buffer.from(text, 'latin1'));
  return written.ok ? ok(key) : written;
}

async function readKey(path: string): Promise<Result<Uint8Array | undefined>> {
  const content = await readPrivateFile(path);
  if (!content.ok || content.value === undefined) return content;
  const [format, base64 = ''] = content.value.toString('latin1').split('\n');
  const key = Buffer.from(base64, 'base64');
  if (format === FORMAT && key.length === BOX_KEY_BYTES) return ok(key);
  return fail('KEY_FILE_CORRUPT', `${path} holds no wrapping key`);
}
