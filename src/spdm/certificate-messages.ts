import { concatBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import { HASH_BYTES, type SpdmHash } from './algorithms.ts';
import type { ByteReader } from './byte-reader.ts';
import { littleEndian } from './byte-writer.ts';
import { REQUEST, RESPONSE } from './codes.ts';
import { header, readHeader } from './header.ts';
import { type SpdmVersion, versionByte } from './version.ts';

/** Slots of a responder. */
const SLOTS = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/** Low bits of the parameter that names a slot. */
const SLOT_MASK = 0x0f;

/** A request for a part of a chain. */
export interface GetCertificate {
  readonly slot: number;
  readonly offset: number;
  readonly length: number;
}

/** A part of a chain. */
export interface CertificatePortion {
  readonly bytes: Uint8Array;
  /** Bytes of the chain after this part. */
  readonly remainder: number;
}

/** Writes a GET_DIGESTS. */
export function getDigestsRequest(version: SpdmVersion): Uint8Array {
  return header(versionByte(version), REQUEST.getDigests);
}

/** Takes a GET_DIGESTS. */
export function readGetDigests(reader: ByteReader, version: SpdmVersion): void {
  readHeader(reader, 'GET_DIGESTS', {
    version: versionByte(version),
    code: REQUEST.getDigests,
  });
}

/** Takes a DIGESTS: the hash of the chain of each slot that has one. */
export function readDigests(
  reader: ByteReader,
  version: SpdmVersion,
  hash: SpdmHash,
): ReadonlyMap<number, Uint8Array> {
  const expected = { version: versionByte(version), code: RESPONSE.digests };
  const { param2: slots } = readHeader(reader, 'DIGESTS', expected);
  return new Map(
    SLOTS.filter((slot) => (slots & (1 << slot)) !== 0).map((slot) => [
      slot,
      reader.take(HASH_BYTES[hash], `DIGESTS slot ${slot}`),
    ]),
  );
}

/** Writes a GET_CERTIFICATE. */
export function getCertificateRequest(version: SpdmVersion, request: GetCertificate): Uint8Array {
  return concatBytes([
    header(versionByte(version), REQUEST.getCertificate, request.slot),
    littleEndian(request.offset, 2),
    littleEndian(request.length, 2),
  ]);
}

/** Takes a GET_CERTIFICATE. */
export function readGetCertificate(reader: ByteReader, version: SpdmVersion): GetCertificate {
  const what = 'GET_CERTIFICATE';
  const expected = { version: versionByte(version), code: REQUEST.getCertificate };
  const { param1 } = readHeader(reader, what, expected);
  return {
    slot: param1 & SLOT_MASK,
    offset: reader.u16(`${what} offset`),
    length: reader.u16(`${what} length`),
  };
}

/**
 * Takes the CERTIFICATE that answers a request: at least a byte, and no more than was asked. Errors:
 * SPDM_SLOT, SPDM_FIELD.
 */
export function readCertificate(
  reader: ByteReader,
  version: SpdmVersion,
  request: GetCertificate,
): CertificatePortion {
  const what = 'CERTIFICATE';
  const expected = { version: versionByte(version), code: RESPONSE.certificate };
  const { param1 } = readHeader(reader, what, expected);
  if ((param1 & SLOT_MASK) !== request.slot) {
    refuse('SPDM_SLOT', `${what}: slot ${param1 & SLOT_MASK} instead of ${request.slot}`);
  }
  const length = reader.u16(`${what} portion length`);
  const remainder = reader.u16(`${what} remainder length`);
  if (length === 0 || length > request.length) {
    refuse('SPDM_FIELD', `${what}: ${length} bytes where up to ${request.length} were asked`);
  }
  return { bytes: reader.take(length, `${what} portion`), remainder };
}
