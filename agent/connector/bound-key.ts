import { createPublicKey } from 'node:crypto';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { encodePem } from '../../src/der/pem.ts';
import { readPemKeyFile } from '../../src/keys/pem-key-file.ts';
import { readFileIfPresent, writeFileAtomic } from '../../src/runtime/atomic-file.ts';
import { createKey } from '../identity/csr.ts';

/** Name of the bound key's file in the data directory. */
export const BOUND_KEY_FILE = 'bound-key.pem';

const MAX_KEY_BYTES = 65_536;

/** A bound key. */
export interface BoundKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeySpki: Uint8Array;
  /** As `EnrolRequest.challenge_signature` is made. */
  sign(words: Uint8Array): Promise<Result<Uint8Array>>;
}

/**
 * Reads the bound key, or makes it where there is none and `make` says so; one that cannot be read is never
 * replaced. Fails with COMPANION_BOUND_KEY, DISK_FULL or FILE_UNWRITABLE.
 */
export async function openBoundKey(path: string, make: boolean): Promise<Result<BoundKey>> {
  const found = await readFileIfPresent(path, MAX_KEY_BYTES);
  if (!found.ok) return fail('COMPANION_BOUND_KEY', found.error.message);
  if (found.value !== undefined) return readKey(path);
  if (!make) return fail('COMPANION_BOUND_KEY', `${path} does not exist`);
  const privateKey = await createKey('ec-p256');
  const pem = encodePem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' }));
  const written = await writeFileAtomic(path, Buffer.from(pem));
  return written.ok ? readKey(path) : written;
}

/** The public key in PEM, to be registered. */
export function publicKeyPem({ publicKeySpki }: BoundKey): string {
  return encodePem('PUBLIC KEY', publicKeySpki);
}

async function readKey(path: string): Promise<Result<BoundKey>> {
  const key = await readPemKeyFile(path, 'bound-key');
  if (!key.ok) return fail('COMPANION_BOUND_KEY', key.error.message, { cause: key.error });
  const { publicKeySpki } = key.value;
  const spki = { key: Buffer.from(publicKeySpki), format: 'der', type: 'spki' } as const;
  const curve = createPublicKey(spki).asymmetricKeyDetails?.namedCurve;
  const hash = curve === 'secp384r1' ? 'sha384' : 'sha256';
  return ok({
    publicKeySpki,
    sign: (words) => key.value.sign(words, { hash, encoding: 'der' }),
  });
}
