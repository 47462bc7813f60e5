import { refuse } from '../der/refuse.ts';
import type { ByteReader } from './byte-reader.ts';

/** Bytes of the header of every message. */
export const HEADER_BYTES = 4;

/** What a message begins with. */
export interface Header {
  readonly param1: number;
  readonly param2: number;
}

/** Hexadecimal of one byte, for messages of refusals. */
export function hexByte(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}

/**
 * Takes the header of one message, which must have this version and code. The version is checked in
 * every message, so that none in the middle can lower it. Errors: SPDM_MESSAGE_UNEXPECTED,
 * SPDM_VERSION_MIXED.
 */
export function readHeader(
  reader: ByteReader,
  what: string,
  expected: { readonly version: number; readonly code: number },
): Header {
  const version = reader.u8(`${what} version`);
  const code = reader.u8(`${what} code`);
  if (code !== expected.code) {
    refuse('SPDM_MESSAGE_UNEXPECTED', `${what}: a message of code ${hexByte(code)} stands there`);
  }
  if (version !== expected.version) {
    refuse(
      'SPDM_VERSION_MIXED',
      `${what}: version ${hexByte(version)} instead of ${hexByte(expected.version)}`,
    );
  }
  return { param1: reader.u8(`${what} param1`), param2: reader.u8(`${what} param2`) };
}

/** Header bytes of a message. */
export function header(version: number, code: number, param1 = 0, param2 = 0): Uint8Array {
  return Uint8Array.of(version, code, param1, param2);
}
