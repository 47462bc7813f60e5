import { constants, verify } from 'node:crypto';
import { concatBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { attempt } from '../der/refuse.ts';
import { hashOfAlgorithm, TPM_ALG, type TpmHash } from './algorithms.ts';
import { type TpmPublic, tpmKeyObject } from './public-area.ts';
import { TpmReader } from './tpm-reader.ts';

/** A TPMT_SIGNATURE (TPM 2.0 Part 2, §11.3.4). */
export type TpmSignature =
  | { readonly kind: 'rsassa' | 'rsapss'; readonly hash: TpmHash; readonly signature: Uint8Array }
  | {
      readonly kind: 'ecdsa';
      readonly hash: TpmHash;
      readonly r: Uint8Array;
      readonly s: Uint8Array;
    };

/** Reads a TPMT_SIGNATURE, to its last byte. Fails with TPM_STRUCTURE. */
export function parseTpmSignature(bytes: Uint8Array): Result<TpmSignature> {
  return attempt('TPM signature', () => {
    const reader = new TpmReader(bytes, 'signature');
    const algorithm = reader.u16();
    const hash = hashOfAlgorithm(reader.u16()) ?? reader.refuse('hash is not taken');
    const signature = readNumbers(reader, algorithm, hash);
    reader.finish();
    return signature;
  });
}

function readNumbers(reader: TpmReader, algorithm: number, hash: TpmHash): TpmSignature {
  switch (algorithm) {
    case TPM_ALG.rsassa:
      return { kind: 'rsassa', hash, signature: reader.sized(512) };
    case TPM_ALG.rsapss:
      return { kind: 'rsapss', hash, signature: reader.sized(512) };
    case TPM_ALG.ecdsa:
      return { kind: 'ecdsa', hash, r: reader.sized(48), s: reader.sized(48) };
    default:
      return reader.refuse('algorithm is not taken');
  }
}

/**
 * Checks the signature of a key over bytes: by the key's own scheme and hash, so that neither is the
 * choice of who sent them. Fails with TPM_STRUCTURE or TPM_SIGNATURE.
 */
export function verifyTpmSignature(
  area: TpmPublic,
  message: Uint8Array,
  signatureBytes: Uint8Array,
): Result<void> {
  const signature = parseTpmSignature(signatureBytes);
  if (!signature.ok) return signature;
  const key = tpmKeyObject(area);
  if (!key.ok) return key;
  const { hash, kind } = signature.value;
  if (TPM_ALG[kind] !== area.scheme.algorithm || hash !== area.scheme.hash) {
    return fail('TPM_SIGNATURE', "the signature is not by the key's scheme");
  }
  const options =
    kind === 'ecdsa'
      ? { key: key.value, dsaEncoding: 'ieee-p1363' as const }
      : kind === 'rsapss'
        ? {
            key: key.value,
            padding: constants.RSA_PKCS1_PSS_PADDING,
            saltLength: constants.RSA_PSS_SALTLEN_AUTO,
          }
        : { key: key.value, padding: constants.RSA_PKCS1_PADDING };
  if (verify(hash, message, options, bytesOf(signature.value, area))) return ok(undefined);
  return fail('TPM_SIGNATURE', 'the signature does not verify');
}

function bytesOf(signature: TpmSignature, { key }: TpmPublic): Uint8Array {
  if (signature.kind !== 'ecdsa') return signature.signature;
  const size = key.kind === 'ecc' ? key.curve.bytes : 0;
  const fixed = (number: Uint8Array): Uint8Array =>
    concatBytes([new Uint8Array(Math.max(0, size - number.length)), number]);
  return concatBytes([fixed(signature.r), fixed(signature.s)]);
}
