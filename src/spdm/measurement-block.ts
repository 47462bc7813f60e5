import { toHex } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { refuse } from '../der/refuse.ts';
import { HASH_BYTES, SPDM_HASHES, type SpdmHash } from './algorithms.ts';
import { ByteReader } from './byte-reader.ts';
import { MEASUREMENT_SPEC_DMTF } from './codes.ts';

/** One measurement (DSP0274 "DMTF specification for the Measurement field"). */
export interface MeasurementBlock {
  /** 1 to 254; what an index means is the device's. */
  readonly index: number;
  /** A bit stream as it is, else a digest of one. */
  readonly raw: boolean;
  /** Low seven bits of the value type, see {@link MEASUREMENT_KIND}. */
  readonly kind: number;
  readonly value: Uint8Array;
}

/** Kinds of measurement that rules are made for. */
export const MEASUREMENT_KIND = { deviceMode: 5, securityVersion: 7 } as const;

/** What a device says of its own mode. */
export interface DeviceMode {
  readonly operationalModeCapabilities: number;
  readonly operationalModeState: number;
  readonly deviceModeCapabilities: number;
  readonly deviceModeState: number;
}

const RAW_BIT = 0x80;
const TYPE_AND_SIZE_BYTES = 3;
const SECURITY_VERSION_BYTES = 8;
const DEVICE_MODE_BYTES = 16;

/** Highest index; 0 asks for the number of blocks, 255 for all. */
export const MAX_MEASUREMENT_INDEX = 0xfe;

function readBlock(reader: ByteReader): MeasurementBlock {
  const what = 'measurement block';
  const index = reader.u8(`${what} index`);
  if (index === 0 || index > MAX_MEASUREMENT_INDEX) {
    refuse('SPDM_MEASUREMENT_RECORD', `${what}: index ${index}`);
  }
  const spec = reader.u8(`${what} specification`);
  if (spec !== MEASUREMENT_SPEC_DMTF) {
    refuse('SPDM_MEASUREMENT_RECORD', `${what} ${index}: specification ${spec}`);
  }
  const size = reader.u16(`${what} size`);
  const type = reader.u8(`${what} type`);
  const valueSize = reader.u16(`${what} value size`);
  if (size !== TYPE_AND_SIZE_BYTES + valueSize) {
    refuse('SPDM_MEASUREMENT_RECORD', `${what} ${index}: size ${size}, value ${valueSize}`);
  }
  const value = reader.take(valueSize, `${what} value`);
  return { index, raw: (type & RAW_BIT) !== 0, kind: type & 0x7f, value };
}

/**
 * Reads a measurement record. It must hold exactly the stated number of blocks and nothing more; it
 * stops with `refuse`. Errors: SPDM_MEASUREMENT_RECORD, SPDM_TRUNCATED, SPDM_TRAILING_BYTES.
 */
export function readMeasurementRecord(
  record: Uint8Array,
  count: number,
): readonly MeasurementBlock[] {
  const reader = new ByteReader(record);
  const blocks = Array.from({ length: count }, () => readBlock(reader));
  reader.finish('measurement record');
  return blocks;
}

/**
 * Rules over all blocks of one transcript: no index twice, and every digest as long as the measurement
 * hash, or, where that was not negotiated in what is signed (1.1), as long as one hash.
 */
export function checkBlocks(
  blocks: readonly MeasurementBlock[],
  measurementHash: SpdmHash | undefined,
): void {
  const indices = new Set(blocks.map(({ index }) => index));
  if (indices.size !== blocks.length) {
    refuse('SPDM_MEASUREMENT_RECORD', 'measurements: an index stands twice');
  }
  const lengths = new Set(blocks.filter(({ raw }) => !raw).map(({ value }) => value.length));
  const allowed = (measurementHash === undefined ? SPDM_HASHES : [measurementHash]).map(
    (hash) => HASH_BYTES[hash],
  );
  if (lengths.size > 1 || [...lengths].some((length) => !allowed.includes(length))) {
    const found = [...lengths].join(', ');
    refuse('SPDM_MEASUREMENT_RECORD', `measurements: digests of ${found} bytes`);
  }
}

/**
 * The security version number of a block: a raw, little-endian 64-bit number. Errors:
 * SPDM_MEASUREMENT_RECORD for any other block.
 */
export function securityVersion(block: MeasurementBlock): Result<bigint> {
  const { kind, raw, value, index } = block;
  if (kind !== MEASUREMENT_KIND.securityVersion || !raw) {
    return fail('SPDM_MEASUREMENT_RECORD', `measurement ${index}: not a security version`);
  }
  if (value.length !== SECURITY_VERSION_BYTES) {
    return fail('SPDM_MEASUREMENT_RECORD', `measurement ${index}: ${value.length} bytes, not 8`);
  }
  return ok(BigInt(`0x${toHex(value.toReversed())}`));
}

/** The mode that a block states (DSP0274 "Device mode field"). Errors: SPDM_MEASUREMENT_RECORD. */
export function deviceMode(block: MeasurementBlock): Result<DeviceMode> {
  const { kind, raw, value, index } = block;
  if (kind !== MEASUREMENT_KIND.deviceMode || !raw || value.length !== DEVICE_MODE_BYTES) {
    return fail('SPDM_MEASUREMENT_RECORD', `measurement ${index}: not a device mode`);
  }
  const reader = new ByteReader(value);
  return ok({
    operationalModeCapabilities: reader.u32('device mode'),
    operationalModeState: reader.u32('device mode'),
    deviceModeCapabilities: reader.u32('device mode'),
    deviceModeState: reader.u32('device mode'),
  });
}
