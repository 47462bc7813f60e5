import { concatBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import { HASH_BYTES, SIGNATURE_BYTES } from './algorithms.ts';
import type { SelectedAlgorithms } from './algorithms-message.ts';
import type { ByteReader } from './byte-reader.ts';
import { CONTEXT_BYTES, NONCE_BYTES, REQUEST, RESPONSE } from './codes.ts';
import { header, readHeader } from './header.ts';
import { readContext, readOpaque } from './measurements-message.ts';
import { isAtLeast, type SpdmVersion, versionByte } from './version.ts';

/** Kinds of measurement summary that may be asked for; any but none adds a hash. */
const SUMMARY_NONE = 0x00;
const SUMMARIES: readonly number[] = [SUMMARY_NONE, 0x01, 0xff];

const SLOT_MASK = 0x0f;

/** Asks the requester to prove itself as well, which is not done here. */
const MUTUAL_AUTHENTICATION = 0x80;

/** A CHALLENGE. */
export interface Challenge {
  readonly slot: number;
  readonly summary: number;
  readonly nonce: Uint8Array;
  readonly context: Uint8Array | undefined;
}

/** A CHALLENGE_AUTH. */
export interface ChallengeAuth {
  readonly chainHash: Uint8Array;
  readonly opaque: Uint8Array;
  readonly signature: Uint8Array;
}

/** Writes a CHALLENGE that asks for no summary. */
export function challengeRequest(
  version: SpdmVersion,
  challenge: Omit<Challenge, 'summary'>,
): Uint8Array {
  const { slot, nonce, context } = challenge;
  return concatBytes([
    header(versionByte(version), REQUEST.challenge, slot, SUMMARY_NONE),
    nonce,
    ...(context === undefined ? [] : [context]),
  ]);
}

/** Takes a CHALLENGE. Errors: SPDM_FIELD for an unknown kind of summary. */
export function readChallenge(reader: ByteReader, version: SpdmVersion): Challenge {
  const what = 'CHALLENGE';
  const expected = { version: versionByte(version), code: REQUEST.challenge };
  const { param1, param2: summary } = readHeader(reader, what, expected);
  if (!SUMMARIES.includes(summary)) refuse('SPDM_FIELD', `${what}: summary ${summary}`);
  const nonce = reader.take(NONCE_BYTES, `${what} nonce`);
  const context = isAtLeast(version, '1.3')
    ? reader.take(CONTEXT_BYTES, `${what} context`)
    : undefined;
  return { slot: param1 & SLOT_MASK, summary, nonce, context };
}

/** Takes the CHALLENGE_AUTH that answers a challenge. Errors: SPDM_SLOT, SPDM_FIELD, SPDM_TOO_LARGE. */
export function readChallengeAuth(
  reader: ByteReader,
  version: SpdmVersion,
  challenge: Challenge,
  algorithms: SelectedAlgorithms,
): ChallengeAuth {
  const what = 'CHALLENGE_AUTH';
  const expected = { version: versionByte(version), code: RESPONSE.challengeAuth };
  const { param1, param2: slots } = readHeader(reader, what, expected);
  if ((param1 & MUTUAL_AUTHENTICATION) !== 0) {
    refuse('SPDM_FIELD', `${what}: asks for mutual authentication`);
  }
  const { slot, summary, context } = challenge;
  if ((param1 & SLOT_MASK) !== slot || (slots & (1 << slot)) === 0) {
    refuse('SPDM_SLOT', `${what}: slot ${param1 & SLOT_MASK} instead of ${slot}`);
  }
  const hashBytes = HASH_BYTES[algorithms.hash];
  const chainHash = reader.take(hashBytes, `${what} chain hash`);
  reader.take(NONCE_BYTES, `${what} nonce`);
  if (summary !== SUMMARY_NONE) reader.take(hashBytes, `${what} summary`);
  const opaque = readOpaque(reader, what);
  readContext(reader, what, context);
  const signature = reader.take(SIGNATURE_BYTES[algorithms.curve], `${what} signature`);
  return { chainHash, opaque, signature };
}
