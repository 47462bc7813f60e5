import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { refuse } from '../der/refuse.ts';
import { curveOfKey, SIGNATURE_BYTES, type SpdmCurve, type SpdmHash } from './algorithms.ts';
import { type ByteReader, readSpdm } from './byte-reader.ts';
import { NONCE_BYTES, REQUEST } from './codes.ts';
import { checkBlocks, type MeasurementBlock } from './measurement-block.ts';
import {
  ALL_MEASUREMENTS,
  COUNT_MEASUREMENTS,
  type GetMeasurements,
  type Measurements,
  readGetMeasurements,
  readMeasurements,
} from './measurements-message.ts';
import { allowedVersion, checkMeasures, type Negotiated, readNegotiation } from './negotiated.ts';
import type { SpdmPolicy } from './policy.ts';
import { verifiesTranscript } from './signing.ts';
import { isAtLeast, type SpdmVersion } from './version.ts';

/** What a device said under its signature. */
export interface SignedMeasurements {
  readonly version: SpdmVersion;
  readonly slot: number;
  /** Hash that was signed with. */
  readonly hash: SpdmHash;
  /** In the order they were answered; no index twice. */
  readonly blocks: readonly MeasurementBlock[];
  /** Opaque data of the signed answer. */
  readonly opaque: Uint8Array;
}

/** Evidence and what it is held against. */
export interface MeasurementsRequest {
  /**
   * The transcript with the signature at its end: for 1.1 every GET_MEASUREMENTS and MEASUREMENTS, from
   * 1.2 the six messages of the negotiation before them.
   */
  readonly messages: Uint8Array;
  /** The 32 bytes that the evidence must have been made for. */
  readonly nonce: Uint8Array;
  /** Key of the leaf, whose chain the caller has verified. */
  readonly leafKey: KeyObject;
  readonly policy: SpdmPolicy;
}

/** One question and its answer. */
interface Round {
  readonly request: GetMeasurements;
  readonly response: Measurements;
}

/** A transcript that is well-formed; its signature is not looked at yet. */
export interface MeasurementTranscript {
  readonly version: SpdmVersion;
  /** Hashes that the signature may be made with. */
  readonly hashes: readonly SpdmHash[];
  readonly request: { readonly nonce: Uint8Array; readonly slot: number };
  readonly blocks: readonly MeasurementBlock[];
  readonly opaque: Uint8Array;
  /** What is signed, L1/L2. */
  readonly transcript: Uint8Array;
  readonly signature: Uint8Array;
}

/** The negotiation where the transcript begins with one, as it must from 1.2 and must not before. */
function readBeginning(
  reader: ByteReader,
  policy: SpdmPolicy,
): { readonly version: SpdmVersion; readonly negotiated: Negotiated | undefined } {
  const negotiated =
    reader.peek(1) === REQUEST.getVersion ? readNegotiation(reader, policy) : undefined;
  const version = negotiated?.version ?? allowedVersion(reader.peek(), policy);
  if (isAtLeast(version, '1.2') !== (negotiated !== undefined)) {
    refuse('SPDM_TRANSCRIPT', `transcript: a negotiation is signed from 1.2; this is ${version}`);
  }
  if (negotiated !== undefined) checkMeasures(negotiated);
  return { version, negotiated };
}

/** Questions and answers up to the signed one, which must be the last. */
function readRounds(reader: ByteReader, version: SpdmVersion, curve: SpdmCurve): readonly Round[] {
  const rounds: Round[] = [];
  do {
    const request = readGetMeasurements(reader, version);
    const response = readMeasurements(reader, version, request, SIGNATURE_BYTES[curve]);
    rounds.push({ request, response });
    if (request.signature !== undefined) break;
  } while (reader.left > 0);
  return rounds;
}

/**
 * Two shapes (the standard measurement transcripts): one request for all, or single ones by ascending
 * index, before which their number may be asked.
 */
function checkOrder(rounds: readonly Round[]): void {
  const operations = rounds.map(({ request }) => request.operation);
  const ascends = operations.every(
    (operation, at) => at === 0 || operation > (operations[at - 1] ?? 0),
  );
  const asksForAll = operations.at(-1) === ALL_MEASUREMENTS;
  if (!ascends || (asksForAll && operations.length > 1)) {
    refuse(
      'SPDM_TRANSCRIPT',
      `transcript: measurements asked in the order ${operations.join(', ')}`,
    );
  }
  const blocks = rounds.reduce((sum, { response }) => sum + response.blocks.length, 0);
  const total = operations[0] === COUNT_MEASUREMENTS ? rounds[0]?.response.total : undefined;
  if (blocks === 0 || (total !== undefined && blocks > total)) {
    refuse('SPDM_TRANSCRIPT', `transcript: ${blocks} measurements of ${total ?? 'some'}`);
  }
}

/** Hashes that the curve may sign with; the negotiated one where a negotiation is signed. */
function signatureHashes(
  negotiated: Negotiated | undefined,
  curve: SpdmCurve,
  policy: SpdmPolicy,
): readonly SpdmHash[] {
  if (negotiated === undefined) return policy.hashes[curve] ?? [];
  if (negotiated.curve !== curve) {
    refuse('SPDM_ALGORITHM', `transcript: ${negotiated.curve} negotiated, the leaf is ${curve}`);
  }
  return [negotiated.hash];
}

function readTranscript(
  reader: ByteReader,
  curve: SpdmCurve,
  policy: SpdmPolicy,
): MeasurementTranscript {
  const { version, negotiated } = readBeginning(reader, policy);
  const hashes = signatureHashes(negotiated, curve, policy);
  const rounds = readRounds(reader, version, curve);
  const last = rounds.at(-1);
  if (last?.request.signature === undefined || last.response.signature === undefined) {
    refuse('SPDM_TRANSCRIPT', 'transcript: no signature is asked for at its end');
  }
  checkOrder(rounds);
  const blocks = rounds.flatMap(({ response }) => response.blocks);
  checkBlocks(blocks, negotiated?.measurementHash);
  const { opaque, signature } = last.response;
  const whole = reader.since(0);
  const transcript = whole.subarray(0, whole.length - signature.length);
  return {
    version,
    hashes,
    request: last.request.signature,
    blocks,
    opaque,
    transcript,
    signature,
  };
}

/**
 * Reads a transcript of measurements to its last byte without looking at nonce or signature. Errors:
 * SPDM_ALGORITHM for a key whose curve the policy does not name, SPDM_VERSION, SPDM_VERSION_MIXED,
 * SPDM_TRANSCRIPT, SPDM_MEASUREMENT_RECORD and those of the messages.
 */
export function readMeasurementTranscript(
  messages: Uint8Array,
  leafKey: KeyObject,
  policy: SpdmPolicy,
): Result<MeasurementTranscript> {
  const curve = curveOfKey(leafKey);
  if (curve === undefined || (policy.hashes[curve] ?? []).length === 0) {
    return fail('SPDM_ALGORITHM', `leaf: ${curve ?? 'its key'} may not sign measurements`);
  }
  // Copied first, so that what was read is what is verified.
  return readSpdm('measurements', new Uint8Array(messages), policy.maxEvidenceBytes, (reader) =>
    readTranscript(reader, curve, policy),
  );
}

/**
 * Verifies signed measurements (DSP0274 "MEASUREMENTS signature verification"): form, version, nonce,
 * slot and the signature of the leaf. Errors: those of `readMeasurementTranscript`, SPDM_NONCE,
 * SPDM_SLOT, SPDM_SIGNATURE.
 */
export function verifySignedMeasurements(request: MeasurementsRequest): Result<SignedMeasurements> {
  const { nonce, leafKey, policy } = request;
  const read = readMeasurementTranscript(request.messages, leafKey, policy);
  if (!read.ok) return read;
  const { version, hashes, transcript, signature, blocks, opaque } = read.value;
  const { slot } = read.value.request;
  if (nonce.length !== NONCE_BYTES || !equalBytes(read.value.request.nonce, nonce)) {
    return fail('SPDM_NONCE', 'measurements: made for another nonce');
  }
  if (slot !== policy.slot) {
    return fail('SPDM_SLOT', `measurements: slot ${slot} instead of ${policy.slot}`);
  }
  const context = 'responder-measurements signing';
  const hash = hashes.find((candidate) =>
    verifiesTranscript({ version, context, hash: candidate, transcript }, leafKey, signature),
  );
  if (hash === undefined)
    return fail('SPDM_SIGNATURE', 'measurements: the signature does not verify');
  return ok({ version, slot, hash, blocks, opaque });
}
