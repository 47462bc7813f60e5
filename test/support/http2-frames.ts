import { PREFACE, writeFrameHeader } from '../../src/rpc/authority/frames.ts';
import { encodeLiterals, type HeaderField, HpackDecoder } from '../../src/rpc/authority/hpack.ts';

/** Frame types by name (RFC 9113 §6). */
export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  rst: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** A frame with any octets. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const header = writeFrameHeader({ length: payload.length, type, flags, streamId });
  return Buffer.concat([header, payload]);
}

/** Preface and empty SETTINGS: a client's first bytes. */
export const CLIENT_HELLO = Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0)]);

/** The ACK of the server's SETTINGS. */
export const SETTINGS_ACK = frame(TYPE.settings, 1, 0);

/** Fields from pairs. */
export function fields(...pairs: readonly (readonly [string, string])[]): HeaderField[] {
  return pairs.map(([name, value]) => ({ name, value }));
}

/** A gRPC request's fields; `authority` undefined leaves it out. */
export function grpcFields(authority: string | undefined, path: string): HeaderField[] {
  return fields(
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    ...(authority === undefined ? [] : ([[':authority', authority]] as const)),
    ['te', 'trailers'],
    ['content-type', 'application/grpc'],
  );
}

/** HEADERS of a request in one frame, END_HEADERS set, as literals. */
export function requestFrame(
  streamId: number,
  authority: string | undefined,
  path = '/SpiffeWorkloadAPI/FetchX509SVID',
): Buffer {
  return frame(TYPE.headers, 0x4, streamId, encodeLiterals(grpcFields(authority, path)));
}

/** DATA with one gRPC message, END_STREAM set. */
export function messageFrame(streamId: number, message: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return frame(TYPE.data, 0x1, streamId, Buffer.concat([head, message]));
}

/** One frame as it was read. */
export interface ReadFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** The whole frames in a byte string. */
export function readFrames(bytes: Buffer): ReadFrame[] {
  const frames: ReadFrame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    if (at + 9 + length > bytes.length) break;
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}

/** Header fields that a server sent on each stream, in order, as `name: value`. */
export function serverHeaders(bytes: Buffer): Map<number, string[]> {
  const decoder = new HpackDecoder();
  const found = new Map<number, string[]>();
  for (const { type, streamId, payload } of readFrames(bytes)) {
    if (type !== TYPE.headers) continue;
    const list = decoder.decode(payload)?.fields ?? [];
    const texts = list.map(({ name, value }) => `${name}: ${value}`);
    found.set(streamId, [...(found.get(streamId) ?? []), ...texts]);
  }
  return found;
}

/** The `grpc-status` that a server sent on a stream; undefined while it has not. */
export function grpcStatus(bytes: Buffer, streamId: number): string | undefined {
  const line = serverHeaders(bytes)
    .get(streamId)
    ?.find((text) => text.startsWith('grpc-status: '));
  return line?.slice('grpc-status: '.length);
}
