import { concatBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import type { ByteReader } from './byte-reader.ts';
import { littleEndian, zeros } from './byte-writer.ts';
import { CAPABILITY, REQUEST, RESPONSE } from './codes.ts';
import { header, readHeader } from './header.ts';
import { isAtLeast, type SpdmVersion, versionByte } from './version.ts';

/** Least DataTransferSize (DSP0274 1.2 "MinDataTransferSize"). */
const MIN_TRANSFER_BYTES = 42;

/** Asks for the block of supported algorithms, from 1.3. */
const PARAM1_SUPPORTED_ALGORITHMS = 0x01;

/** Bytes of that block before its lists: what its length must reach at least. */
const MIN_ALGORITHM_BLOCK_BYTES = 32;

/** What a responder can do. */
export interface Capabilities {
  readonly flags: number;
  /** Largest message that it takes; unlimited in 1.1, which does not say. */
  readonly dataTransferBytes: number;
}

/** A GET_CAPABILITIES with no capability of ours: nothing but questions is sent. */
export function getCapabilitiesRequest(version: SpdmVersion, maxMessageBytes: number): Uint8Array {
  const sizes = littleEndian(maxMessageBytes, 4);
  return concatBytes([
    header(versionByte(version), REQUEST.getCapabilities),
    zeros(8),
    // Without chunking both sizes are the same (DSP0274 1.2 "MaxSPDMmsgSize").
    ...(isAtLeast(version, '1.2') ? [sizes, sizes] : []),
  ]);
}

/** Takes a GET_CAPABILITIES; answers whether the block of supported algorithms is asked for. */
export function readGetCapabilities(reader: ByteReader, version: SpdmVersion): boolean {
  const expected = { version: versionByte(version), code: REQUEST.getCapabilities };
  const { param1 } = readHeader(reader, 'GET_CAPABILITIES', expected);
  reader.skip(8, 'GET_CAPABILITIES');
  if (isAtLeast(version, '1.2')) readSizes(reader, 'GET_CAPABILITIES');
  return isAtLeast(version, '1.3') && (param1 & PARAM1_SUPPORTED_ALGORITHMS) !== 0;
}

/**
 * Takes a CAPABILITIES. Errors: SPDM_FIELD for sizes that contradict each other.
 *
 * @param withAlgorithms Whether the request asked for the block of supported algorithms.
 */
export function readCapabilities(
  reader: ByteReader,
  version: SpdmVersion,
  withAlgorithms: boolean,
): Capabilities {
  const expected = { version: versionByte(version), code: RESPONSE.capabilities };
  const { param1 } = readHeader(reader, 'CAPABILITIES', expected);
  reader.skip(4, 'CAPABILITIES');
  const flags = reader.u32('CAPABILITIES flags');
  if (!isAtLeast(version, '1.2')) return { flags, dataTransferBytes: Number.POSITIVE_INFINITY };
  const { transfer, message } = readSizes(reader, 'CAPABILITIES');
  if ((flags & CAPABILITY.chunk) === 0 && transfer !== message) {
    refuse('SPDM_FIELD', 'CAPABILITIES: two sizes without chunking');
  }
  if (withAlgorithms && (param1 & PARAM1_SUPPORTED_ALGORITHMS) !== 0) skipAlgorithmBlock(reader);
  return { flags, dataTransferBytes: transfer };
}

function readSizes(reader: ByteReader, what: string) {
  const transfer = reader.u32(`${what} DataTransferSize`);
  const message = reader.u32(`${what} MaxSPDMmsgSize`);
  if (transfer < MIN_TRANSFER_BYTES || message < transfer) {
    refuse('SPDM_FIELD', `${what}: DataTransferSize ${transfer}, MaxSPDMmsgSize ${message}`);
  }
  return { transfer, message };
}

/** The block names its own length in its third and fourth byte; what it offers is not used. */
function skipAlgorithmBlock(reader: ByteReader): void {
  const what = 'CAPABILITIES supported algorithms';
  const length = reader.peek(2) + 256 * reader.peek(3);
  if (length < MIN_ALGORITHM_BLOCK_BYTES) refuse('SPDM_FIELD', `${what}: length ${length}`);
  reader.skip(length, what);
}
