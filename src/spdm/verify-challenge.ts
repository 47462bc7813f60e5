import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { refuse } from '../der/refuse.ts';
import { curveOfKey, type SpdmHash } from './algorithms.ts';
import { type ByteReader, readSpdm } from './byte-reader.ts';
import { readCertificateChain } from './certificate-chain.ts';
import {
  readCertificate,
  readDigests,
  readGetCertificate,
  readGetDigests,
} from './certificate-messages.ts';
import { ChainPortions } from './chain-portions.ts';
import { type Challenge, readChallenge, readChallengeAuth } from './challenge-message.ts';
import { NONCE_BYTES } from './codes.ts';
import { type Negotiated, readNegotiation } from './negotiated.ts';
import type { SpdmPolicy } from './policy.ts';
import { spdmHash, verifiesTranscript } from './signing.ts';
import type { SpdmVersion } from './version.ts';

/** A transcript with a challenge, and what it is held against. */
export interface ChallengeRequest {
  /**
   * M1/M2 with the signature at its end: negotiation, digests, the whole certificate chain of the slot
   * in its parts, CHALLENGE and CHALLENGE_AUTH.
   */
  readonly messages: Uint8Array;
  readonly nonce: Uint8Array;
  /** Key of the leaf, whose chain the caller has verified. */
  readonly leafKey: KeyObject;
  readonly policy: SpdmPolicy;
}

/** What a device proved. */
export interface VerifiedChallenge {
  readonly version: SpdmVersion;
  readonly slot: number;
  readonly hash: SpdmHash;
  /** DER, the root first: what the caller's leaf key must come from. */
  readonly certificateChain: readonly Uint8Array[];
}

interface ChallengeTranscript {
  readonly negotiated: Negotiated;
  readonly challenge: Challenge;
  readonly certificateChain: readonly Uint8Array[];
  readonly transcript: Uint8Array;
  readonly signature: Uint8Array;
}

/** The chain of a slot as its parts came. */
function readChain(reader: ByteReader, version: SpdmVersion, policy: SpdmPolicy): Uint8Array {
  const portions = new ChainPortions(policy.maxChainBytes);
  do {
    const request = readGetCertificate(reader, version);
    if (request.slot !== policy.slot || request.offset !== portions.offset) {
      refuse('SPDM_TRANSCRIPT', 'transcript: not the parts of one certificate chain in order');
    }
    portions.add(readCertificate(reader, version, request));
  } while (!portions.complete);
  return portions.join();
}

function readTranscript(reader: ByteReader, policy: SpdmPolicy): ChallengeTranscript {
  const negotiated = readNegotiation(reader, policy);
  const { version, hash } = negotiated;
  readGetDigests(reader, version);
  const digest = readDigests(reader, version, hash).get(policy.slot);
  const blob = readChain(reader, version, policy);
  const challenge = readChallenge(reader, version);
  const { chainHash, signature } = readChallengeAuth(reader, version, challenge, negotiated);
  const actual = spdmHash(hash, blob);
  if (digest === undefined || !equalBytes(digest, actual) || !equalBytes(chainHash, actual)) {
    refuse('SPDM_CHAIN_DIGEST', 'transcript: digests of another certificate chain');
  }
  const certificates = readCertificateChain(blob, hash, policy);
  if (!certificates.ok) throw certificates.error;
  const whole = reader.since(0);
  const transcript = whole.subarray(0, whole.length - signature.length);
  return { negotiated, challenge, certificateChain: certificates.value, transcript, signature };
}

/**
 * Verifies the answer to a challenge (DSP0274 "CHALLENGE_AUTH signature verification"): form, versions,
 * nonce, slot, digests of the chain and the signature of the leaf. Errors: SPDM_*, DER_*.
 */
export function verifyChallengeAuth(request: ChallengeRequest): Result<VerifiedChallenge> {
  const { nonce, leafKey, policy } = request;
  const read = readSpdm(
    'challenge',
    new Uint8Array(request.messages),
    policy.maxEvidenceBytes,
    (reader) => readTranscript(reader, policy),
  );
  if (!read.ok) return read;
  const { negotiated, challenge, certificateChain, transcript, signature } = read.value;
  const { version, hash, curve } = negotiated;
  const leafCurve = curveOfKey(leafKey);
  if (leafCurve !== curve) {
    return fail('SPDM_ALGORITHM', `challenge: ${curve} negotiated, the leaf is ${leafCurve}`);
  }
  if (nonce.length !== NONCE_BYTES || !equalBytes(challenge.nonce, nonce)) {
    return fail('SPDM_NONCE', 'challenge: made for another nonce');
  }
  if (challenge.slot !== policy.slot) {
    return fail('SPDM_SLOT', `challenge: slot ${challenge.slot} instead of ${policy.slot}`);
  }
  const context = 'responder-challenge_auth signing';
  if (!verifiesTranscript({ version, context, hash, transcript }, leafKey, signature)) {
    return fail('SPDM_SIGNATURE', 'challenge: the signature does not verify');
  }
  return ok({ version, slot: challenge.slot, hash, certificateChain });
}
