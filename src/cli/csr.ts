import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  derAscii,
  derBitString,
  derElement,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
  derSetOf,
} from '../der/writer.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';

/** `[0]`, constructed: the attributes of a request (RFC 2986 §4.1). */
const ATTRIBUTES = 0xa0;
/** `[2]` and `[6]`: DNS name and URI among the general names (RFC 5280 §4.2.1.6). */
const DNS_NAME = 0x82;
const URI_NAME = 0x86;

const EXTENSION_REQUEST = derOid('1.2.840.113549.1.9.14');
const SUBJECT_ALT_NAME = derOid('2.5.29.17');

/** A new P-256 key and the request for its certificate. */
export interface MintRequest {
  readonly privateKey: KeyObject;
  /** PKCS#10 DER. */
  readonly csr: Uint8Array;
}

/** Makes a key and a request that names the SPIFFE ID and DNS names to be minted. */
export function createMintRequest(id: SpiffeId, dnsNames: readonly string[]): MintRequest {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = derSequence(
    derAscii(URI_NAME, id.uri),
    ...dnsNames.map((name) => derAscii(DNS_NAME, name)),
  );
  const extensions = derSequence(derSequence(SUBJECT_ALT_NAME, derOctetString(names)));
  const info = derSequence(
    derNumber(0),
    derSequence(),
    publicKey.export({ type: 'spki', format: 'der' }),
    derElement(ATTRIBUTES, derSequence(EXTENSION_REQUEST, derSetOf(extensions))),
  );
  const algorithm = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha256' });
  const signature = derBitString(sign('sha256', info, privateKey));
  return { privateKey, csr: derSequence(info, algorithm, signature) };
}
