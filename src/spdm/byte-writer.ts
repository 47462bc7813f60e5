/** A number as little-endian bytes. */
export function littleEndian(value: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => Math.floor(value / 256 ** index) % 256);
}

/** Reserved bytes. */
export function zeros(length: number): Uint8Array {
  return new Uint8Array(length);
}
