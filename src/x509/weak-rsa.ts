/** Odd primes below 1,000: an honest modulus has none of them as a factor. */
const SMALL_PRIMES: readonly number[] = oddPrimesBelow(1000);

/** Primes whose remainders give a ROCA modulus away (CVE-2017-15361): all odd ones up to 167. */
const ROCA_PRIMES: readonly number[] = SMALL_PRIMES.filter((prime) => prime <= 167);

/** The generator that the flawed library built its primes from. */
const ROCA_GENERATOR = 65_537;

/** Steps of Fermat's method: finds factors that lie within about 2^(bits/4) of each other. */
const FERMAT_STEPS = 100;

function oddPrimesBelow(limit: number): number[] {
  const primes: number[] = [];
  for (let candidate = 3; candidate < limit; candidate += 2) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  return primes;
}

/** Remainders that powers of the generator leave. */
function generatorPowers(prime: number): ReadonlySet<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * ROCA_GENERATOR) % prime) {
    powers.add(power);
  }
  return powers;
}

const ROCA_REMAINDERS = ROCA_PRIMES.map((prime) => ({ prime, powers: generatorPowers(prime) }));

/** Largest number whose square is not above `n`. */
function squareRoot(n: bigint): bigint {
  let root = 1n << BigInt(Math.ceil(n.toString(2).length / 2));
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

function hasCloseFactors(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  for (let step = 0; step < FERMAT_STEPS; step++, a += 1n) {
    const difference = a * a - modulus;
    // Squares end in 0, 1, 4 or 9 in base 16: most candidates need no root.
    const low = difference & 15n;
    if (low !== 0n && low !== 1n && low !== 4n && low !== 9n) continue;
    const root = squareRoot(difference);
    if (root * root === difference) return true;
  }
  return false;
}

/** Why the factors of a modulus can be found, or nothing where no known weakness shows. */
export function rsaWeakness(modulusBytes: Uint8Array): string | undefined {
  const modulus = BigInt(`0x${Buffer.from(modulusBytes).toString('hex')}`);
  if ((modulus & 1n) === 0n || SMALL_PRIMES.some((prime) => modulus % BigInt(prime) === 0n)) {
    return 'the modulus has a small factor';
  }
  if (ROCA_REMAINDERS.every(({ prime, powers }) => powers.has(Number(modulus % BigInt(prime))))) {
    return 'the modulus comes from the flawed generator of CVE-2017-15361 (ROCA)';
  }
  return hasCloseFactors(modulus) ? 'the two factors of the modulus are too close' : undefined;
}
