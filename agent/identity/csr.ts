import { createPublicKey, generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';
import {
  derAscii,
  derBitString,
  derElement,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
  derSetOf,
} from '../../src/der/writer.ts';
import type { SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { signatureAlgorithmDer } from '../../src/x509/signature.ts';
import type { WorkloadKeyType } from '../config.ts';

/** `[0]`, constructed: the attributes of a request (RFC 2986 §4.1). */
const ATTRIBUTES = 0xa0;

/** `[6]`: a URI among the general names (RFC 5280 §4.2.1.6). */
const URI_NAME = 0x86;

const EXTENSION_REQUEST = derOid('1.2.840.113549.1.9.14');
const SUBJECT_ALT_NAME = derOid('2.5.29.17');
const EMPTY_NAME = derSequence();
const VERSION_1 = derNumber(0);

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
  const info = requestInfo(publicKeySpki, spiffeId);
  const scheme = {
    kind: type === 'rsa-2048' ? 'rsa' : 'ecdsa',
    hash: type === 'ec-p384' ? 'sha384' : 'sha256',
  } as const;
  const signature = sign(scheme.hash, info, privateKey);
  return {
    privateKeyPkcs8: privateKey.export({ type: 'pkcs8', format: 'der' }),
    publicKeySpki,
    csr: derSequence(info, signatureAlgorithmDer(scheme), derBitString(signature)),
  };
}

/** A new key and the request for it. */
export async function createKeyAndRequest(
  type: WorkloadKeyType,
  spiffeId: SpiffeId | undefined,
): Promise<KeyAndRequest> {
  return createRequest(type, await createKey(type), spiffeId);
}

/** CertificationRequestInfo: an empty subject, since none of it would be used. */
function requestInfo(spki: Uint8Array, spiffeId: SpiffeId | undefined): Uint8Array {
  const attributes = spiffeId === undefined ? [] : [subjectAltNameRequest(spiffeId)];
  return derSequence(VERSION_1, EMPTY_NAME, spki, derElement(ATTRIBUTES, ...attributes));
}

function subjectAltNameRequest(spiffeId: SpiffeId): Uint8Array {
  const names = derOctetString(derSequence(derAscii(URI_NAME, spiffeId.uri)));
  return derSequence(
    EXTENSION_REQUEST,
    derSetOf(derSequence(derSequence(SUBJECT_ALT_NAME, names))),
  );
}
