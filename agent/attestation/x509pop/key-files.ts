import { constants, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import {
  MAX_X509POP_CERTIFICATES,
  X509POP_NONCE_BYTES,
  type X509PopResponse,
} from '../../../src/attestation/x509pop/payload.ts';
import { concatBytes } from '../../../src/base/bytes.ts';
import type { Random } from '../../../src/base/random.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import { parseCertificatesPem } from '../../../src/x509/certificate.ts';

/** Largest of the files in bytes. */
const MAX_FILE_BYTES = 128 * 1024;

/** Where a provisioned certificate and its key are. */
export interface KeyFiles {
  readonly certificatePath: string;
  readonly privateKeyPath: string;
  readonly intermediatesPath?: string | undefined;
}

/** The certificates in DER, the leaf first. Fails with AGENT_X509POP_FILES. */
export async function readCertificates(settings: KeyFiles): Promise<Result<readonly Uint8Array[]>> {
  const paths = [settings.certificatePath, settings.intermediatesPath];
  const found: Uint8Array[] = [];
  for (const path of paths) {
    if (path === undefined) continue;
    const bytes = await readWhole(path);
    if (!bytes.ok) return bytes;
    const certificates = parseCertificatesPem(bytes.value);
    if (!certificates.ok) return unusable(path, certificates.error.message);
    found.push(...certificates.value.map(({ der }) => der));
  }
  if (found.length <= MAX_X509POP_CERTIFICATES) return ok(found);
  return unusable(settings.certificatePath, `more than ${MAX_X509POP_CERTIFICATES} certificates`);
}

/** A private key in PEM. Fails with AGENT_X509POP_FILES. */
export async function readKey(path: string): Promise<Result<KeyObject>> {
  const bytes = await readWhole(path);
  if (!bytes.ok) return bytes;
  try {
    const key = createPrivateKey(Buffer.from(bytes.value));
    if (key.asymmetricKeyType === 'rsa' || key.asymmetricKeyType === 'ec') return ok(key);
  } catch {
    // What the parser says may quote the key.
    return unusable(path, 'not an unencrypted private key in PEM');
  }
  return unusable(path, 'neither an RSA nor an EC key');
}

async function readWhole(path: string): Promise<Result<Uint8Array>> {
  const bytes = await readFileIfPresent(path, MAX_FILE_BYTES);
  if (!bytes.ok) return unusable(path, bytes.error.message);
  return bytes.value === undefined ? unusable(path, 'does not exist') : ok(bytes.value);
}

function unusable(path: string, why: string): Result<never> {
  return fail('AGENT_X509POP_FILES', `${path}: ${why}`);
}

/** How a key proves itself. */
export function keyKindOf(key: KeyObject): X509PopResponse['kind'] {
  return key.asymmetricKeyType === 'rsa' ? 'rsa' : 'ecdsa';
}

/** Signs over a challenge and a nonce of ours, so that nobody has this key sign what he chose. */
export function proveKey(key: KeyObject, challenge: Uint8Array, random: Random): X509PopResponse {
  const nonce = random.bytes(X509POP_NONCE_BYTES);
  return { nonce, ...signed(keyKindOf(key), concatBytes([challenge, nonce]), key) };
}

/** A response without its nonce. */
type Signed<R = X509PopResponse> = R extends unknown ? Omit<R, 'nonce'> : never;

function signed(kind: X509PopResponse['kind'], message: Uint8Array, key: KeyObject): Signed {
  if (kind === 'rsa') {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
    return { kind, signature: sign('sha256', message, { key, padding, saltLength }) };
  }
  const both = sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' });
  const half = both.length / 2;
  return { kind, r: number(both.subarray(0, half)), s: number(both.subarray(half)) };
}

/** Without leading zeros, as SPIRE writes numbers. */
function number(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  return bytes.subarray(first === -1 ? bytes.length - 1 : first);
}
