import { crc32 } from 'node:zlib';

/**
 * A batch as it lies in the log: a header, then the entries, each behind its length as in the bundles
 * of C2SP tlog-tiles. The checksums tell a batch that a crash tore from one that was written whole;
 * that no entry was altered is what the tree proves.
 *
 * | bytes | |
 * | --- | --- |
 * | 4 | `SLG1` |
 * | 4 | length of the payload |
 * | 4 | number of entries |
 * | 6 | index of the first entry |
 * | 6, 6 | Unix milliseconds of the earliest and the latest entry |
 * | 4 | CRC-32 of the payload |
 * | 4 | CRC-32 of the 34 bytes before |
 */
const MAGIC = 0x534c4731;

/** Length of the header of a batch. */
export const FRAME_HEADER_BYTES = 38;

/** Largest payload of a batch, in bytes. */
export const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;

/** Largest entry: its length has two bytes (C2SP tlog-tiles). */
export const MAX_ENTRY_BYTES = 65_535;

/** What the header of a batch says. */
export interface FrameHeader {
  readonly payloadBytes: number;
  readonly count: number;
  readonly firstIndex: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly payloadCrc: number;
}

/** An entry on its way to the log. */
export interface NewEntry {
  readonly bytes: Uint8Array;
  /** Unix milliseconds, so that searches by time can pass over whole batches. */
  readonly timeMs: number;
}

/** The bytes of a batch. */
export function encodeFrame(firstIndex: number, entries: readonly NewEntry[]): Uint8Array {
  const payloadBytes = payloadSize(entries);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payloadBytes);
  let at = FRAME_HEADER_BYTES;
  let minTimeMs = Number.MAX_SAFE_INTEGER;
  let maxTimeMs = 0;
  for (const { bytes, timeMs } of entries) {
    at = frame.writeUInt16BE(bytes.length, at);
    frame.set(bytes, at);
    at += bytes.length;
    minTimeMs = Math.min(minTimeMs, timeMs);
    maxTimeMs = Math.max(maxTimeMs, timeMs);
  }
  frame.writeUInt32BE(MAGIC, 0);
  frame.writeUInt32BE(payloadBytes, 4);
  frame.writeUInt32BE(entries.length, 8);
  frame.writeUIntBE(firstIndex, 12, 6);
  frame.writeUIntBE(minTimeMs, 18, 6);
  frame.writeUIntBE(maxTimeMs, 24, 6);
  frame.writeUInt32BE(crc32(frame.subarray(FRAME_HEADER_BYTES)), 30);
  frame.writeUInt32BE(crc32(frame.subarray(0, 34)), 34);
  return frame;
}

/** Bytes that entries take in a payload. */
export function payloadSize(entries: readonly Pick<NewEntry, 'bytes'>[]): number {
  return entries.reduce((sum, { bytes }) => sum + 2 + bytes.length, 0);
}

/** The header at the start of some bytes; undefined where there is none. */
export function decodeHeader(bytes: Uint8Array): FrameHeader | undefined {
  if (bytes.length < FRAME_HEADER_BYTES) return undefined;
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  if (head.readUInt32BE(0) !== MAGIC) return undefined;
  if (head.readUInt32BE(34) !== crc32(head.subarray(0, 34))) return undefined;
  return {
    payloadBytes: head.readUInt32BE(4),
    count: head.readUInt32BE(8),
    firstIndex: head.readUIntBE(12, 6),
    minTimeMs: head.readUIntBE(18, 6),
    maxTimeMs: head.readUIntBE(24, 6),
    payloadCrc: head.readUInt32BE(30),
  };
}

/** Whether a whole header starts anywhere in some bytes. */
export function holdsHeader(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = Buffer.from('SLG1', 'latin1');
  for (let at = buffer.indexOf(magic); at >= 0; at = buffer.indexOf(magic, at + 1)) {
    if (decodeHeader(buffer.subarray(at)) !== undefined) return true;
  }
  return false;
}

/** The entries of a payload; undefined where it is not the one that the header is for. */
export function decodePayload(
  header: FrameHeader,
  payload: Uint8Array,
): readonly Uint8Array[] | undefined {
  if (payload.length !== header.payloadBytes || crc32(payload) !== header.payloadCrc) {
    return undefined;
  }
  const entries = splitEntries(payload);
  return entries?.length === header.count ? entries : undefined;
}

/** The entries of a bundle (C2SP tlog-tiles); undefined where the lengths do not add up. */
export function splitEntries(bytes: Uint8Array): readonly Uint8Array[] | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: Uint8Array[] = [];
  for (let at = 0; at < buffer.length; ) {
    if (at + 2 > buffer.length) return undefined;
    const end = at + 2 + buffer.readUInt16BE(at);
    if (end > buffer.length) return undefined;
    entries.push(buffer.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

/** A bundle of entries (C2SP tlog-tiles). */
export function joinEntries(entries: readonly Uint8Array[]): Uint8Array {
  const bundle = Buffer.alloc(entries.reduce((sum, { length }) => sum + 2 + length, 0));
  let at = 0;
  for (const entry of entries) {
    at = bundle.writeUInt16BE(entry.length, at);
    bundle.set(entry, at);
    at += entry.length;
  }
  return bundle;
}
