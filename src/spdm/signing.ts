import { hash as digest, type KeyObject, verify } from 'node:crypto';
import { concatBytes, utf8 } from '../base/bytes.ts';
import type { SpdmHash } from './algorithms.ts';
import { isAtLeast, type SpdmVersion } from './version.ts';

/** What is signed, by the context that stands in the signature from 1.2 (DSP0274 "Signature context"). */
export type SigningContext = 'responder-measurements signing' | 'responder-challenge_auth signing';

/** Bytes of padding and context together. */
const CONTEXT_FIELD_BYTES = 36;

/** Hash of bytes, raw. */
export function spdmHash(hash: SpdmHash, bytes: Uint8Array): Uint8Array {
  return digest(hash, bytes, 'buffer');
}

/**
 * The message that ECDSA hashes and signs (DSP0274 "Signature generation"): up to 1.1 the transcript,
 * from 1.2 `combined_spdm_prefix` (four times the version text, zeros, the context; 100 bytes) and the
 * hash of the transcript.
 */
export function messageToSign(
  version: SpdmVersion,
  context: SigningContext,
  hash: SpdmHash,
  transcript: Uint8Array,
): Uint8Array {
  if (!isAtLeast(version, '1.2')) return transcript;
  const prefix = `dmtf-spdm-v${version}.*`.repeat(4) + context.padStart(CONTEXT_FIELD_BYTES, '\0');
  return concatBytes([utf8(prefix), spdmHash(hash, transcript)]);
}

/** Whether a signature (r and s, big-endian) over a transcript verifies. */
export function verifiesTranscript(
  signed: {
    readonly version: SpdmVersion;
    readonly context: SigningContext;
    readonly hash: SpdmHash;
    readonly transcript: Uint8Array;
  },
  leafKey: KeyObject,
  signature: Uint8Array,
): boolean {
  const { version, context, hash, transcript } = signed;
  const message = messageToSign(version, context, hash, transcript);
  return verify(hash, message, { key: leafKey, dsaEncoding: 'ieee-p1363' }, signature);
}
