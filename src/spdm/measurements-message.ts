import { concatBytes, equalBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import type { ByteReader } from './byte-reader.ts';
import { CONTEXT_BYTES, MAX_OPAQUE_BYTES, NONCE_BYTES, REQUEST, RESPONSE } from './codes.ts';
import { header, readHeader } from './header.ts';
import { type MeasurementBlock, readMeasurementRecord } from './measurement-block.ts';
import { isAtLeast, type SpdmVersion, versionByte } from './version.ts';

/** Operation that asks how many measurements there are. */
export const COUNT_MEASUREMENTS = 0x00;

/** Operation that asks for all measurements at once. */
export const ALL_MEASUREMENTS = 0xff;

const SIGNATURE_REQUESTED = 0x01;

/** Low bits of param2 and SlotIDParam. */
const SLOT_MASK = 0x0f;

/** Bits 5:4 of param2 from 1.2: whether something changed while it was read. */
const CHANGE_DETECTED = 1;
const CHANGE_RESERVED = 3;

/** What a signature is asked with. */
export interface SignatureRequest {
  readonly nonce: Uint8Array;
  readonly slot: number;
}

/** A GET_MEASUREMENTS. */
export interface GetMeasurements {
  /** 0 the number, 255 all, else an index. */
  readonly operation: number;
  /** Asks for a signature over the transcript. */
  readonly signature: SignatureRequest | undefined;
  /** The requester's context, from 1.3. */
  readonly context: Uint8Array | undefined;
}

/** A MEASUREMENTS. */
export interface Measurements {
  /** How many measurements there are, where that was asked. */
  readonly total: number;
  readonly blocks: readonly MeasurementBlock[];
  readonly opaque: Uint8Array;
  /** Present where one was asked for. */
  readonly signature: Uint8Array | undefined;
}

/** Writes a GET_MEASUREMENTS. */
export function getMeasurementsRequest(version: SpdmVersion, request: GetMeasurements): Uint8Array {
  const { operation, signature, context } = request;
  const param1 = signature === undefined ? 0 : SIGNATURE_REQUESTED;
  return concatBytes([
    header(versionByte(version), REQUEST.getMeasurements, param1, operation),
    ...(signature === undefined ? [] : [signature.nonce, Uint8Array.of(signature.slot)]),
    ...(context === undefined ? [] : [context]),
  ]);
}

/**
 * Takes a GET_MEASUREMENTS. Only the signature may be asked for: raw bit streams (1.2) stand for other
 * blocks than the reference values are of, and new measurements (1.3) are of firmware that does not run
 * yet. Errors: SPDM_FIELD.
 */
export function readGetMeasurements(reader: ByteReader, version: SpdmVersion): GetMeasurements {
  const what = 'GET_MEASUREMENTS';
  const expected = { version: versionByte(version), code: REQUEST.getMeasurements };
  const { param1, param2: operation } = readHeader(reader, what, expected);
  if ((param1 & ~SIGNATURE_REQUESTED) !== 0) {
    refuse('SPDM_FIELD', `${what}: attributes 0x${param1.toString(16)}`);
  }
  const signature = param1 === SIGNATURE_REQUESTED ? readSignatureRequest(reader) : undefined;
  const context = isAtLeast(version, '1.3')
    ? reader.take(CONTEXT_BYTES, `${what} context`)
    : undefined;
  return { operation, signature, context };
}

function readSignatureRequest(reader: ByteReader): SignatureRequest {
  const nonce = reader.take(NONCE_BYTES, 'GET_MEASUREMENTS nonce');
  const slot = reader.u8('GET_MEASUREMENTS slot') & SLOT_MASK;
  return { nonce, slot };
}

/**
 * Takes the MEASUREMENTS that answers a request. Errors: SPDM_FIELD, SPDM_MEASUREMENT_RECORD,
 * SPDM_MEASUREMENTS_CHANGED, SPDM_SLOT, SPDM_TRUNCATED.
 *
 * @param signatureBytes Length of a signature of the negotiated algorithm.
 */
export function readMeasurements(
  reader: ByteReader,
  version: SpdmVersion,
  request: GetMeasurements,
  signatureBytes: number,
): Measurements {
  const what = 'MEASUREMENTS';
  const expected = { version: versionByte(version), code: RESPONSE.measurements };
  const { param1, param2 } = readHeader(reader, what, expected);
  if (request.signature !== undefined) checkSigned(version, param2, request.signature.slot);
  const blocks = readBlocks(reader, request.operation);
  reader.take(NONCE_BYTES, `${what} nonce`);
  const opaque = readOpaque(reader, what);
  readContext(reader, what, request.context);
  const signature =
    request.signature === undefined ? undefined : reader.take(signatureBytes, `${what} signature`);
  return {
    total: request.operation === COUNT_MEASUREMENTS ? param1 : 0,
    blocks,
    opaque,
    signature,
  };
}

/** Slot and change bits of a signed answer; in an unsigned one they are reserved. */
function checkSigned(version: SpdmVersion, param2: number, slot: number): void {
  if ((param2 & SLOT_MASK) !== slot) {
    refuse('SPDM_SLOT', `MEASUREMENTS: slot ${param2 & SLOT_MASK} instead of ${slot}`);
  }
  if (!isAtLeast(version, '1.2')) return;
  const change = (param2 >> 4) & 0x3;
  if (change === CHANGE_DETECTED) {
    refuse('SPDM_MEASUREMENTS_CHANGED', 'MEASUREMENTS: a measurement changed meanwhile');
  }
  if (change === CHANGE_RESERVED) refuse('SPDM_FIELD', 'MEASUREMENTS: change bits 3');
}

function readBlocks(reader: ByteReader, operation: number): readonly MeasurementBlock[] {
  const count = reader.u8('MEASUREMENTS number of blocks');
  const length = reader.u24('MEASUREMENTS record length');
  const blocks = readMeasurementRecord(reader.take(length, 'MEASUREMENTS record'), count);
  if (operation === COUNT_MEASUREMENTS && count !== 0) {
    refuse('SPDM_MEASUREMENT_RECORD', 'MEASUREMENTS: blocks where their number was asked');
  }
  if (operation === ALL_MEASUREMENTS && count === 0) {
    refuse('SPDM_MEASUREMENT_RECORD', 'MEASUREMENTS: no block');
  }
  const isOne = operation !== COUNT_MEASUREMENTS && operation !== ALL_MEASUREMENTS;
  if (isOne && (count !== 1 || blocks[0]?.index !== operation)) {
    refuse('SPDM_MEASUREMENT_RECORD', `MEASUREMENTS: not the one block of index ${operation}`);
  }
  return blocks;
}

/** Takes opaque data with its length. Errors: SPDM_TOO_LARGE above 1,024 bytes. */
export function readOpaque(reader: ByteReader, what: string): Uint8Array {
  const length = reader.u16(`${what} opaque length`);
  if (length > MAX_OPAQUE_BYTES) {
    refuse('SPDM_TOO_LARGE', `${what}: ${length} bytes of opaque data`);
  }
  return reader.take(length, `${what} opaque data`);
}

/** Takes the context that 1.3 gives back; it must be the one that was sent. */
export function readContext(reader: ByteReader, what: string, sent: Uint8Array | undefined): void {
  if (sent === undefined) return;
  const context = reader.take(CONTEXT_BYTES, `${what} context`);
  if (!equalBytes(context, sent)) refuse('SPDM_FIELD', `${what}: another context than was sent`);
}
