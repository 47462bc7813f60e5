import type { Random } from '../base/random.ts';

/** Bytes of randomness in a serial number, as in SPIRE. */
const SERIAL_BYTES = 16;

/** A new serial number: 128 random bits, big-endian, not zero. */
export function drawSerial(random: Random): Uint8Array {
  for (;;) {
    const serial = random.bytes(SERIAL_BYTES);
    if (serial.some((octet) => octet !== 0)) return serial;
  }
}

/** Decimal form of a big-endian number: what SPIRE puts into subjects and on the wire. */
export function serialToDecimal(magnitude: Uint8Array): string {
  const hex = Buffer.from(magnitude.buffer, magnitude.byteOffset, magnitude.length).toString('hex');
  return BigInt(`0x${hex || '0'}`).toString();
}

/**
 * Hexadecimal forms that a decimal serial number may be kept under: as many octets as it needs, and the
 * sixteen that are drawn.
 */
export function serialToHexForms(decimal: string): readonly string[] {
  const digits = BigInt(decimal).toString(16);
  const octets = digits.length % 2 === 0 ? digits : `0${digits}`;
  const drawn = octets.padStart(SERIAL_BYTES * 2, '0');
  return drawn === octets ? [drawn] : [drawn, octets];
}
