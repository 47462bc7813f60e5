import { createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { buildCsr } from '../../src/x509/csr-builder.ts';
import type { WorkloadKeyType } from '../config.ts';

/** A new key and the request for its certificate. */
export interface KeyAndRequest {
  /** Unencrypted PKCS#8 DER, as the Workload API sends it (WLAPI-17). */
  readonly privateKeyPkcs8: Buffer;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Buffer;
  /** PKCS#10 DER. */
  readonly csr: Uint8Array;
}

const generate = promisify(generateKeyPair);

/** Makes a key in the thread pool. */
export async function createKey(type: WorkloadKeyType): Promise<KeyObject> {
  const pair =
    type === 'rsa-2048'
      ? await generate('rsa', { modulusLength: 2048 })
      : await generate('ec', { namedCurve: type === 'ec-p256' ? 'P-256' : 'P-384' });
  return pair.privateKey;
}

/**
 * Signs a request for a key. The server takes the key only; the URI is sent because SPIRE's servers
 * expect one for workloads, and none for agents (`undefined`).
 */
export function createRequest(
  type: WorkloadKeyType,
  privateKey: KeyObject,
  spiffeId: SpiffeId | undefined,
): KeyAndRequest {
  const publicKeySpki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const scheme = {
    kind: type === 'rsa-2048' ? 'rsa' : 'ecdsa',
    hash: type === 'ec-p384' ? 'sha384' : 'sha256',
  } as const;
  return {
    privateKeyPkcs8: privateKey.export({ type: 'pkcs8', format: 'der' }),
    publicKeySpki,
    csr: buildCsr({ spki: publicKeySpki, uri: spiffeId?.uri, dnsNames: [] }, privateKey, scheme),
  };
}

/** A new key and the request for it. */
export async function createKeyAndRequest(
  type: WorkloadKeyType,
  spiffeId: SpiffeId | undefined,
): Promise<KeyAndRequest> {
  return createRequest(type, await createKey(type), spiffeId);
}
