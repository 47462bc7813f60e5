import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { writeFileAtomic } from '../runtime/atomic-file.ts';
import { readPrivateFile } from './private-file.ts';

/** A private Ed25519 key that signs whole messages. */
export interface Ed25519Key {
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  sign(message: Uint8Array): Promise<Result<Uint8Array>>;
}

/**
 * The private key of a file (PKCS#8 PEM, 0600); undefined where there is none. Fails with
 * KEY_PERMISSIONS where others may read it, KEY_FILE_CORRUPT where it holds something else.
 */
export async function readEd25519File(path: string): Promise<Result<KeyObject | undefined>> {
  const content = await readPrivateFile(path);
  if (!content.ok) return content;
  if (content.value === undefined) return ok(undefined);
  return importPem(path, content.value);
}

/** Makes a key and keeps it in a file; an old one is replaced, durably, before this answers. */
export async function makeEd25519File(path: string): Promise<Result<Ed25519Key>> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  const written = await writeFileAtomic(path, Buffer.from(pem));
  return written.ok ? ok(ed25519KeyOf(privateKey)) : written;
}

function importPem(path: string, pem: Buffer): Result<KeyObject> {
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' });
    if (key.asymmetricKeyType === 'ed25519') return ok(key);
  } catch {
    // Refused below, with nothing of what the file holds.
  }
  return fail('KEY_FILE_CORRUPT', `${path} holds no Ed25519 key`);
}

/** The key that a private Ed25519 key object is. */
export function ed25519KeyOf(key: KeyObject): Ed25519Key {
  return {
    publicKeySpki: createPublicKey(key).export({ type: 'spki', format: 'der' }),
    sign: async (message) => ok(sign(null, message, key)),
  };
}
