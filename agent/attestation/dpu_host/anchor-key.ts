import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../../../src/runtime/atomic-file.ts';
import { createKey } from '../../identity/csr.ts';

/** The key by which DPU and server know the agent of a host again. */
export interface AnchorKey {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
}

const FILE = 'dpu-host-key.pem';
const MAX_KEY_BYTES = 4096;

/**
 * The key of the data directory, made where there is none and durable before it is shown: the first one
 * that is shown in a boot is the only one. It outlives boots where the directory does. Fails with
 * VOUCHER_STATE_CORRUPT, or as files do.
 */
export async function openAnchorKey(directory: string): Promise<Result<AnchorKey>> {
  const path = join(directory, FILE);
  const bytes = await readFileIfPresent(path, MAX_KEY_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value !== undefined) return readKey(path, bytes.value);
  const made = await createKey('ec-p256');
  const pem = made.export({ type: 'pkcs8', format: 'pem' });
  const written = await writeFileAtomic(path, Buffer.from(pem));
  return written.ok ? ok(withSpki(made)) : written;
}

function readKey(path: string, bytes: Uint8Array): Result<AnchorKey> {
  try {
    const key = createPrivateKey({ key: Buffer.from(bytes), format: 'pem' });
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return ok(withSpki(key));
  } catch {
    // No cause: messages of the crypto library may quote what they were given.
  }
  return fail('VOUCHER_STATE_CORRUPT', `${path} is no P-256 key`);
}

function withSpki(privateKey: KeyObject): AnchorKey {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return { privateKey, spki };
}
