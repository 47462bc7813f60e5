import type { Random } from '../base/random.ts';

/** Length of a serial number in bytes. */
export const SERIAL_BYTES = 16;

/**
 * Serial numbers for `count` certificates, one after the other: random, in [1, 2^128 - 1]. 128 bits
 * make (issuer, serial) unique without a register, also after a restored backup.
 */
export function drawSerials(random: Random, count: number): Uint8Array {
  const serials = Uint8Array.from(random.bytes(SERIAL_BYTES * count));
  for (let start = 0; start < serials.length; start += SERIAL_BYTES) {
    const serial = serials.subarray(start, start + SERIAL_BYTES);
    // RFC 5280 §4.1.2.2: positive.
    while (serial.every((byte) => byte === 0)) serial.set(random.bytes(SERIAL_BYTES));
  }
  return serials;
}

/** One serial number, as {@link drawSerials} draws them. */
export function drawSerial(random: Random): Uint8Array {
  return drawSerials(random, 1);
}
