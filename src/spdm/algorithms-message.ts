import { concatBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import {
  ASYM_BIT,
  HASH_BIT,
  MEASUREMENT_HASH_BIT,
  SPDM_CURVES,
  SPDM_HASHES,
  type SpdmCurve,
  type SpdmHash,
} from './algorithms.ts';
import type { ByteReader } from './byte-reader.ts';
import { littleEndian, zeros } from './byte-writer.ts';
import { MEASUREMENT_SPEC_DMTF, REQUEST, RESPONSE } from './codes.ts';
import { header, readHeader } from './header.ts';
import type { SpdmPolicy } from './policy.ts';
import { isAtLeast, type SpdmVersion, versionByte } from './version.ts';

/** Length of a NEGOTIATE_ALGORITHMS without lists. */
const REQUEST_BYTES = 32;

/** The general opaque data format, from 1.2. */
const OPAQUE_FORMAT_1 = 0x02;
const OPAQUE_FORMAT_MASK = 0x0f;

/** Bytes of one algorithm that a vendor defines. */
const EXTENDED_BYTES = 4;

/** What a requester offers. */
export interface OfferedAlgorithms {
  readonly asymBits: number;
  readonly hashBits: number;
}

/** What a responder selected. */
export interface SelectedAlgorithms {
  readonly curve: SpdmCurve;
  /** Hash of transcripts, chains and signatures. */
  readonly hash: SpdmHash;
  /** Hash of measured values; none where the responder measures nothing. */
  readonly measurementHash: SpdmHash | undefined;
  /** Whether opaque data may be sent at all. */
  readonly opaque: boolean;
}

/** A NEGOTIATE_ALGORITHMS that offers what the policy allows, and nothing that sessions need. */
export function negotiateAlgorithmsRequest(version: SpdmVersion, policy: SpdmPolicy): Uint8Array {
  const curves = SPDM_CURVES.filter((curve) => (policy.hashes[curve] ?? []).length > 0);
  const hashes = SPDM_HASHES.filter((hash) =>
    curves.some((curve) => policy.hashes[curve]?.includes(hash)),
  );
  return concatBytes([
    header(versionByte(version), REQUEST.negotiateAlgorithms),
    littleEndian(REQUEST_BYTES, 2),
    Uint8Array.of(MEASUREMENT_SPEC_DMTF, isAtLeast(version, '1.2') ? OPAQUE_FORMAT_1 : 0),
    littleEndian(sumOf(curves, ASYM_BIT), 4),
    littleEndian(sumOf(hashes, HASH_BIT), 4),
    zeros(16),
  ]);
}

function sumOf<T extends string>(names: readonly T[], bits: Readonly<Record<T, number>>): number {
  return names.reduce((sum, name) => sum + bits[name], 0);
}

/** Takes a NEGOTIATE_ALGORITHMS: what is offered. Errors: SPDM_FIELD where its length is not its own. */
export function readNegotiateAlgorithms(
  reader: ByteReader,
  version: SpdmVersion,
): OfferedAlgorithms {
  const what = 'NEGOTIATE_ALGORITHMS';
  const start = reader.position;
  const expected = { version: versionByte(version), code: REQUEST.negotiateAlgorithms };
  const { param1: tables } = readHeader(reader, what, expected);
  const length = reader.u16(`${what} length`);
  reader.skip(2, what);
  const offered = { asymBits: reader.u32(what), hashBits: reader.u32(what) };
  reader.skip(12, what);
  const extended = reader.u8(what) + reader.u8(what);
  reader.skip(2 + EXTENDED_BYTES * extended, what);
  skipTables(reader, what, tables);
  checkLength(reader.position - start, length, what);
  return offered;
}

/**
 * Takes an ALGORITHMS: exactly one of the offered signature algorithms and hashes each, of those that
 * are known here, and none that a vendor defines. Errors: SPDM_ALGORITHM, SPDM_FIELD.
 */
export function readAlgorithms(
  reader: ByteReader,
  version: SpdmVersion,
  offered: OfferedAlgorithms,
): SelectedAlgorithms {
  const what = 'ALGORITHMS';
  const start = reader.position;
  const expected = { version: versionByte(version), code: RESPONSE.algorithms };
  const { param1: tables } = readHeader(reader, what, expected);
  const length = reader.u16(`${what} length`);
  const spec = reader.u8(what);
  const opaqueFormat = reader.u8(what) & OPAQUE_FORMAT_MASK;
  const measurementHashBits = reader.u32(what);
  const asymBits = reader.u32(what);
  const hashBits = reader.u32(what);
  reader.skip(12, what);
  const extended = reader.u8(what) + reader.u8(what);
  reader.skip(2, what);
  if (extended !== 0) refuse('SPDM_ALGORITHM', `${what}: an algorithm of a vendor`);
  skipTables(reader, what, tables);
  checkLength(reader.position - start, length, what);
  return {
    curve: selected(asymBits, offered.asymBits, ASYM_BIT, SPDM_CURVES, 'signature algorithm'),
    hash: selected(hashBits, offered.hashBits, HASH_BIT, SPDM_HASHES, 'hash'),
    measurementHash: selectedMeasurementHash(spec, measurementHashBits),
    opaque: !isAtLeast(version, '1.2') || opaqueFormat !== 0,
  };
}

function selected<T extends string>(
  bits: number,
  offeredBits: number,
  known: Readonly<Record<T, number>>,
  names: readonly T[],
  what: string,
): T {
  const name = names.find((candidate) => known[candidate] === bits);
  if (name === undefined || (offeredBits & bits) === 0) {
    refuse('SPDM_ALGORITHM', `ALGORITHMS: ${what} bits 0x${bits.toString(16)} are selected`);
  }
  return name;
}

function selectedMeasurementHash(spec: number, bits: number): SpdmHash | undefined {
  if (spec === 0 && bits === 0) return undefined;
  const hash = SPDM_HASHES.find((candidate) => MEASUREMENT_HASH_BIT[candidate] === bits);
  if (spec !== MEASUREMENT_SPEC_DMTF || hash === undefined) {
    refuse(
      'SPDM_ALGORITHM',
      `ALGORITHMS: measurement specification ${spec}, hash bits 0x${bits.toString(16)}`,
    );
  }
  return hash;
}

/** Algorithm tables of sessions: type, sizes, fixed bits, vendors' (DSP0274 "AlgStructure"). */
function skipTables(reader: ByteReader, what: string, count: number): void {
  for (let table = 0; table < count; table++) {
    reader.skip(1, `${what} table`);
    const sizes = reader.u8(`${what} table`);
    reader.skip((sizes >> 4) + EXTENDED_BYTES * (sizes & 0xf), `${what} table`);
  }
}

function checkLength(actual: number, stated: number, what: string): void {
  if (actual !== stated) refuse('SPDM_FIELD', `${what}: length ${stated}, it has ${actual}`);
}
