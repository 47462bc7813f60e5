import { concatBytes } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { attempt } from '../der/refuse.ts';
import { challengeRequest, readChallengeAuth } from './challenge-message.ts';
import { CAPABILITY, NONCE_BYTES } from './codes.ts';
import { type FetchedChain, fetchChain } from './fetch-chain.ts';
import { fetchMeasurements, type MeasurementMode } from './fetch-measurements.ts';
import { messagesOf, type Negotiation, negotiate } from './negotiate.ts';
import { checkMeasures } from './negotiated.ts';
import type { SpdmPolicy } from './policy.ts';
import { requesterContext } from './requester-context.ts';
import { ask, DEFAULT_WAIT_RULES, type Exchange, type Talk, type WaitRules } from './talk.ts';
import { isAtLeast, type SpdmVersion } from './version.ts';

/** What to collect, and how. */
export interface CollectOptions {
  /** 32 bytes that the measurements are made for. */
  readonly nonce: Uint8Array;
  /** 32 bytes for a challenge beside the measurements, where the responder answers challenges. */
  readonly challengeNonce?: Uint8Array;
  /** Slot, versions, algorithms and sizes. */
  readonly policy: SpdmPolicy;
  readonly clock: Clock;
  readonly wait?: WaitRules;
  /** All at once unless told; devices with small buffers want `each`. */
  readonly mode?: MeasurementMode;
}

/** What a responder gave. Nothing of it is verified: that is done where it is judged. */
export interface DirectEvidence {
  readonly version: SpdmVersion;
  /** As `verifySignedMeasurements` takes them. */
  readonly messages: Uint8Array;
  /** DER, the root first. */
  readonly certificateChain: readonly Uint8Array[];
  /** Hash of the chain with its header, as the responder announced it. */
  readonly chainDigest: Uint8Array;
  /** As `verifyChallengeAuth` takes them, where a challenge was asked for and answered. */
  readonly challengeMessages: Uint8Array | undefined;
}

/** Everything that is signed with the answer to a challenge. */
async function fetchChallenge(
  talk: Talk,
  negotiation: Negotiation,
  chain: FetchedChain,
  nonce: Uint8Array,
): Promise<Result<Uint8Array>> {
  const { version } = negotiation;
  const { slot } = talk.policy;
  const challenge = { slot, nonce, context: requesterContext(version), summary: 0 };
  const asked = await ask(talk, 'CHALLENGE_AUTH', challengeRequest(version, challenge), (reader) =>
    readChallengeAuth(reader, version, challenge, negotiation),
  );
  if (!asked.ok) return asked;
  return ok(concatBytes([...negotiation.messages, ...chain.messages, ...messagesOf(asked.value)]));
}

/** The challenge where one is wanted and can be answered. */
function maybeChallenge(
  talk: Talk,
  negotiation: Negotiation,
  chain: FetchedChain,
  nonce: Uint8Array | undefined,
): Promise<Result<Uint8Array | undefined>> {
  const answers = (negotiation.flags & CAPABILITY.challenge) !== 0;
  if (nonce === undefined || !answers) return Promise.resolve(ok(undefined));
  return fetchChallenge(talk, negotiation, chain, nonce);
}

async function collect(talk: Talk, options: CollectOptions): Promise<Result<DirectEvidence>> {
  const negotiated = await negotiate(talk);
  if (!negotiated.ok) return negotiated;
  const negotiation = negotiated.value;
  const measures = attempt('CAPABILITIES', () => checkMeasures(negotiation));
  if (!measures.ok) return measures;
  const chain = await fetchChain(talk, negotiation);
  if (!chain.ok) return chain;
  const { certificates, digest } = chain.value;
  const challenge = await maybeChallenge(talk, negotiation, chain.value, options.challengeNonce);
  if (!challenge.ok) return challenge;
  const signature = { nonce: options.nonce, slot: talk.policy.slot };
  const mode = options.mode ?? 'all';
  const measurements = await fetchMeasurements({ talk, negotiation, signature }, mode);
  if (!measurements.ok) return measurements;
  const { version } = negotiation;
  // The negotiation is signed from 1.2 (DSP0274 1.2 "L1/L2").
  const signedFirst = isAtLeast(version, '1.2') ? negotiation.messages : [];
  return ok({
    version,
    messages: concatBytes([...signedFirst, ...measurements.value]),
    certificateChain: certificates,
    chainDigest: digest,
    challengeMessages: challenge.value,
  });
}

/**
 * Collects the certificate chain and signed measurements of a responder, and its answer to a challenge
 * where one is wanted and it can. All bytes go through `exchange`, so the same code runs beside the
 * device, or on the server while an agent relays. Errors: SPDM_*, DER_*, those of the exchange;
 * SPDM_NONCE for a nonce that is not 32 bytes, SPDM_TOO_LARGE for evidence over the policy's limit.
 */
export async function collectMeasurements(
  exchange: Exchange,
  options: CollectOptions,
): Promise<Result<DirectEvidence>> {
  const { policy, clock, nonce, challengeNonce = nonce } = options;
  if (nonce.length !== NONCE_BYTES || challengeNonce.length !== NONCE_BYTES) {
    return fail('SPDM_NONCE', `nonce: not ${NONCE_BYTES} bytes`);
  }
  const wait = options.wait ?? DEFAULT_WAIT_RULES;
  const talk = { exchange, policy, clock, wait, waitedMs: 0, maxRequestBytes: Infinity };
  const evidence = await collect(talk, options);
  if (!evidence.ok) return evidence;
  const { length } = evidence.value.messages;
  if (length > policy.maxEvidenceBytes) {
    return fail('SPDM_TOO_LARGE', `evidence: ${length} bytes, limit ${policy.maxEvidenceBytes}`);
  }
  return evidence;
}
