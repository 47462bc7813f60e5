import { constants, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import {
  decodeX509PopChallenge,
  encodeX509PopPayload,
  encodeX509PopResponse,
  MAX_X509POP_CERTIFICATES,
  X509POP_NONCE_BYTES,
  X509POP_TYPE,
  type X509PopResponse,
} from '../../../src/attestation/x509pop/payload.ts';
import { concatBytes } from '../../../src/base/bytes.ts';
import type { Random } from '../../../src/base/random.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import { parseCertificatesPem } from '../../../src/x509/certificate.ts';
import type { AgentConfig } from '../../config.ts';
import type { NodeAttestor } from '../node-attestor.ts';

/** Largest of the files in bytes. */
const MAX_FILE_BYTES = 128 * 1024;

type X509PopSettings = NonNullable<AgentConfig['attestation']['x509pop']>;

/**
 * Attests with a certificate and its key in files; they are read each time, so that they may be renewed.
 * Fails with AGENT_X509POP_FILES.
 */
export function createX509PopAttestor(settings: X509PopSettings, random: Random): NodeAttestor {
  return {
    type: X509POP_TYPE,
    maxChallenges: 1,
    timeoutMs: 30_000,
    async begin() {
      const certificates = await readCertificates(settings);
      if (!certificates.ok) return certificates;
      const key = await readKey(settings.privateKeyPath);
      if (!key.ok) return key;
      return ok({
        payload: encodeX509PopPayload(certificates.value),
        respond: async (challenge: Uint8Array) => respond(challenge, key.value, random),
        close: async () => {},
      });
    },
  };
}

async function readCertificates(settings: X509PopSettings): Promise<Result<readonly Uint8Array[]>> {
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

async function readKey(path: string): Promise<Result<KeyObject>> {
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

/** Signs over the server's nonce and one of ours, so that nobody has this key sign what he chose. */
function respond(bytes: Uint8Array, key: KeyObject, random: Random): Result<Uint8Array> {
  const challenge = decodeX509PopChallenge(bytes);
  if (!challenge.ok) return fail('AGENT_SERVER_ANSWER', challenge.error.message);
  const nonce = random.bytes(X509POP_NONCE_BYTES);
  const message = concatBytes([challenge.value.nonce, nonce]);
  const kind = key.asymmetricKeyType === 'rsa' ? 'rsa' : 'ecdsa';
  if (challenge.value.kind !== kind) {
    return fail('AGENT_SERVER_ANSWER', 'the challenge is for another kind of key');
  }
  return ok(encodeX509PopResponse({ nonce, ...signed(kind, message, key) }));
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
