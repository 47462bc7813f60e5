import { concatBytes } from '../base/bytes.ts';

/** An 8-bit number. */
export function tpmU8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

/** A 16-bit number, big-endian. */
export function tpmU16(value: number): Uint8Array {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/** A 32-bit number, big-endian. */
export function tpmU32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A buffer with its size in front (TPM2B). */
export function tpmSized(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = concatBytes(parts);
  return concatBytes([tpmU16(bytes.length), bytes]);
}
