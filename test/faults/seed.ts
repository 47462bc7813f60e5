import { type Random, seededRandom } from '../../src/base/random.ts';

/** A draw of `random`, of `from` up to and without `to`. */
export function between(random: Random, from: number, to: number): number {
  const [high = 0, low = 0] = random.bytes(2);
  return from + Math.floor(((high * 256 + low) / 65_536) * (to - from));
}

/**
 * The seed of a run: `SIGNET_FAULT_SEED`, else drawn. Printed, so that a failed run can be repeated
 * (as far as the moments at which processes die allow).
 */
export function runSeed(what: string): { readonly seed: number; readonly random: Random } {
  const seed = Number(process.env.SIGNET_FAULT_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`${what}: SIGNET_FAULT_SEED=${seed}`);
  return { seed, random: seededRandom(seed) };
}
