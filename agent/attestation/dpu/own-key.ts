import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { type OwnKey, ownKeyChallenge } from '../../../src/attestation/dpu/payload.ts';
import { encodeX509PopResponse } from '../../../src/attestation/x509pop/payload.ts';
import type { Random } from '../../../src/base/random.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../../../src/runtime/atomic-file.ts';
import { createKey } from '../../identity/csr.ts';
import { proveKey, readCertificates, readKey } from '../x509pop/key-files.ts';
import type { DpuAgentSettings } from './settings.ts';

/** Name of the file of the agent's own key in its data directory: PKCS#8 in PEM. */
export const DPU_KEY_FILE = 'dpu-key.pem';

const MAX_KEY_BYTES = 16 * 1024;

/** Where the agent's own key is. */
export interface OwnKeyParts {
  readonly settings: Pick<DpuAgentSettings, 'key'>;
  readonly dataDir: string;
  readonly random: Random;
}

/**
 * Proves the key by which the server knows this agent again, for a binding nonce: the one that the image
 * brought, or one that was made here when it was first asked for and never leaves. A key that cannot be
 * read is never replaced: the server would take its successor for somebody else. Fails with
 * AGENT_DPU_KEY, AGENT_X509POP_FILES, and as writing a file does.
 */
export async function proveOwnKey(
  { settings, dataDir, random }: OwnKeyParts,
  nonce: Uint8Array,
): Promise<Result<OwnKey>> {
  const proofOf = (key: KeyObject): Uint8Array =>
    encodeX509PopResponse(proveKey(key, ownKeyChallenge(nonce), random));
  if (settings.key !== undefined) {
    const certificates = await readCertificates(settings.key);
    if (!certificates.ok) return certificates;
    const key = await readKey(settings.key.privateKeyPath);
    return key.ok ? ok({ certificates: certificates.value, proof: proofOf(key.value) }) : key;
  }
  const key = await keptKey(join(dataDir, DPU_KEY_FILE));
  if (!key.ok) return key;
  const spki = createPublicKey(key.value).export({ type: 'spki', format: 'der' });
  return ok({ spki, proof: proofOf(key.value) });
}

async function keptKey(path: string): Promise<Result<KeyObject>> {
  const bytes = await readFileIfPresent(path, MAX_KEY_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value !== undefined) return readKept(path, bytes.value);
  const key = await createKey('ec-p256');
  const pem = key.export({ type: 'pkcs8', format: 'pem' });
  // Durable before it is shown: the server pins what it sees.
  const written = await writeFileAtomic(path, Buffer.from(pem));
  return written.ok ? ok(key) : written;
}

function readKept(path: string, bytes: Uint8Array): Result<KeyObject> {
  try {
    const key = createPrivateKey(Buffer.from(bytes));
    if (key.asymmetricKeyType === 'ec') return ok(key);
  } catch {
    // What the parser says may quote the key.
  }
  return fail('AGENT_DPU_KEY', `${path} holds no EC key`);
}
