/** What every HTTP/2 client sends first (RFC 9113 §3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Octets of a frame header (RFC 9113 §4.1). */
export const FRAME_HEADER_BYTES = 9;

/** Largest frame that nghttp2 takes with default SETTINGS. */
export const MAX_FRAME_BYTES = 16_384;

/** Frame types that are told apart here (RFC 9113 §6). */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  settings: 4,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags that are read here. */
export const FLAG = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 };

/** A frame header. */
export interface FrameHeader {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
}

/** Reads the nine octets at `at`. */
export function readFrameHeader(bytes: Buffer, at: number): FrameHeader {
  return {
    length: bytes.readUIntBE(at, 3),
    type: bytes.readUInt8(at + 3),
    flags: bytes.readUInt8(at + 4),
    streamId: bytes.readUInt32BE(at + 5) & 0x7fffffff,
  };
}

/** A frame's nine octets. */
export function writeFrameHeader(header: FrameHeader): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  bytes.writeUIntBE(header.length, 0, 3);
  bytes.writeUInt8(header.type, 3);
  bytes.writeUInt8(header.flags, 4);
  bytes.writeUInt32BE(header.streamId, 5);
  return bytes;
}

/**
 * A frame that makes nghttp2 end the connection with PROTOCOL_ERROR: DATA on stream 0. GOAWAY is left
 * to nghttp2, since one of ours could fall between two parts of its output.
 */
export const POISON = writeFrameHeader({ length: 0, type: FRAME.data, flags: 0, streamId: 0 });

/** An empty SETTINGS frame, the server's half of the preface. */
export const EMPTY_SETTINGS = writeFrameHeader({
  length: 0,
  type: FRAME.settings,
  flags: 0,
  streamId: 0,
});
