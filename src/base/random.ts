import { randomBytes } from 'node:crypto';

/** Randomness as an argument. */
export interface Random {
  /** `length` unpredictable bytes. */
  bytes(length: number): Uint8Array;
}

/** The operating system's randomness. */
export const systemRandom: Random = { bytes: (length) => randomBytes(length) };

/**
 * Repeatable bytes from a seed (xorshift32), for tests and fault runs that print their seed. Not for
 * keys.
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0 || 0x9e3779b9;
  return {
    bytes(length) {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        out[i] = state & 0xff;
      }
      return out;
    },
  };
}

/** A number in [0, 1) from 48 random bits, for jitter. */
export function randomFraction(random: Random): number {
  const bytes = random.bytes(6);
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0) / 2 ** 48;
}
