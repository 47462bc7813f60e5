import { utf8 } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { schemeForKeyType } from '../../x509/signature.ts';
import type { Corims } from './corim-selection.ts';
import {
  isEnvelope,
  isSignedBy,
  MANIFEST_PAYLOAD_TYPE,
  MAX_SIGNATURES,
  preAuthEncoding,
  readEnvelope,
} from './open-manifest.ts';
import { parseManifest } from './parse-manifest.ts';

/** The key of a publisher, wherever its private part is. */
export interface ManifestSigner {
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  /** Signs the message, hashing included. ECDSA as DER, RSA as PKCS#1 v1.5. */
  sign(message: Uint8Array, hash: 'sha256' | 'sha384' | 'sha512'): Promise<Result<Uint8Array>>;
}

/**
 * Signs a manifest, or adds a signature to a signed one; what this key has signed already stays as it is.
 * A manifest that no server would read is not signed. Errors: those of `parseManifest`, of `parsePublicKey`
 * and of the key, MANIFEST_ENVELOPE.
 *
 * @param file A manifest as it is written, or an envelope.
 * @param corims See `parseManifest`.
 */
export async function signManifest(
  file: Uint8Array,
  signer: ManifestSigner,
  corims?: Corims,
): Promise<Result<Uint8Array>> {
  const opened = isEnvelope(file) ? readEnvelope(file) : ok({ payload: file, signatures: [] });
  if (!opened.ok) return opened;
  const { payload, signatures } = opened.value;
  const read = parseManifest(payload, corims);
  if (!read.ok) return read;
  const key = parsePublicKey(signer.publicKeySpki);
  if (!key.ok) return key;
  const message = preAuthEncoding(MANIFEST_PAYLOAD_TYPE, payload);
  if (signatures.some((signature) => isSignedBy(key.value, message, signature))) return ok(file);
  if (signatures.length >= MAX_SIGNATURES) {
    return fail('MANIFEST_ENVELOPE', `manifest envelope: has ${MAX_SIGNATURES} signatures already`);
  }
  if (key.value.type === 'unknown')
    return fail('MANIFEST_ENVELOPE', 'manifest: key of no known kind');
  const signature = await signer.sign(message, schemeForKeyType(key.value.type).hash);
  if (!signature.ok) return signature;
  const all = [...signatures, signature.value].map((bytes) => ({ sig: base64(bytes) }));
  const envelope = {
    payloadType: MANIFEST_PAYLOAD_TYPE,
    payload: base64(payload),
    signatures: all,
  };
  return ok(utf8(`${JSON.stringify(envelope)}\n`));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
