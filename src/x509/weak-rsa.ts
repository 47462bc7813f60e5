/**
 * Which weakness an RSA modulus has: a small factor, primes of the generator of CVE-2017-15361 (ROCA),
 * or two factors so close that Fermat's method finds them.
 */
export type RsaWeakness = 'KEY_RSA_WEAK' | 'KEY_RSA_ROCA' | 'KEY_RSA_CLOSE_FACTORS';

/** Odd primes below 1,000: an honest modulus has none of them as a factor. */
const SMALL_PRIMES: readonly number[] = oddPrimesBelow(1000);

/** Largest of the primes whose remainders give a ROCA modulus away: all odd ones up to it do. */
const MAX_ROCA_PRIME = 167;

/** The generator that the flawed library built its primes from. */
const ROCA_GENERATOR = 65_537;

/** Steps of Fermat's method: finds factors that lie within about 2^(bits/4) of each other. */
const FERMAT_STEPS = 100;

/** Largest product of primes in one {@link PrimeGroup}: remainders of it are exact as numbers. */
const MAX_GROUP = Number.MAX_SAFE_INTEGER;

/** Primes whose remainders are had from one division of a large number. */
interface PrimeGroup {
  readonly product: bigint;
  readonly primes: readonly number[];
}

const SMALL_PRIME_GROUPS = groupsOf(SMALL_PRIMES);

/** Remainders that powers of the generator leave, for each prime that tells ROCA. */
const ROCA_REMAINDERS: ReadonlyMap<number, ReadonlySet<number>> = new Map(
  SMALL_PRIMES.filter((prime) => prime <= MAX_ROCA_PRIME).map((prime) => [
    prime,
    generatorPowers(prime),
  ]),
);

/** Remainders that squares leave by the first primes: few numbers that are no squares leave all. */
const SQUARE_GROUPS = groupsOf(SMALL_PRIMES.slice(0, 13));
const SQUARE_REMAINDERS: ReadonlyMap<number, ReadonlySet<number>> = new Map(
  SQUARE_GROUPS.flatMap(({ primes }) => primes).map((prime) => [
    prime,
    new Set(Array.from({ length: prime }, (_, root) => (root * root) % prime)),
  ]),
);

function oddPrimesBelow(limit: number): number[] {
  const primes: number[] = [];
  for (let candidate = 3; candidate < limit; candidate += 2) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  return primes;
}

function groupsOf(primes: readonly number[]): readonly PrimeGroup[] {
  const groups: PrimeGroup[] = [];
  let product = 1;
  let members: number[] = [];
  for (const prime of primes) {
    if (product * prime > MAX_GROUP) {
      groups.push({ product: BigInt(product), primes: members });
      product = 1;
      members = [];
    }
    product *= prime;
    members.push(prime);
  }
  return [...groups, { product: BigInt(product), primes: members }];
}

function generatorPowers(prime: number): ReadonlySet<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * ROCA_GENERATOR) % prime) {
    powers.add(power);
  }
  return powers;
}

/** Whether every remainder of `n` by the primes of the groups passes the test. */
function everyRemainder(
  n: bigint,
  groups: readonly PrimeGroup[],
  test: (remainder: number, prime: number) => boolean,
): boolean {
  return groups.every(({ product, primes }) => {
    const remainder = Number(n % product);
    return primes.every((prime) => test(remainder % prime, prime));
  });
}

/** Largest number whose square is not above `n`. */
function squareRoot(n: bigint): bigint {
  // Four bits a digit: the start is never below the root, and Newton's steps fall to it.
  let root = 1n << BigInt(n.toString(16).length * 2);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

function isSquare(n: bigint): boolean {
  // Squares end in 0, 1, 4 or 9 in base 16.
  const low = n & 15n;
  if (low !== 0n && low !== 1n && low !== 4n && low !== 9n) return false;
  const leaves = (remainder: number, prime: number): boolean =>
    SQUARE_REMAINDERS.get(prime)?.has(remainder) === true;
  if (!everyRemainder(n, SQUARE_GROUPS, leaves)) return false;
  const root = squareRoot(n);
  return root * root === n;
}

function hasCloseFactors(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  let difference = a * a - modulus;
  for (let step = 0; step < FERMAT_STEPS; step++) {
    if (isSquare(difference)) return true;
    // (a + 1)² = a² + 2a + 1.
    difference += (a << 1n) | 1n;
    a += 1n;
  }
  return false;
}

function isRoca(modulus: bigint): boolean {
  const leaves = (remainder: number, prime: number): boolean =>
    ROCA_REMAINDERS.get(prime)?.has(remainder) !== false;
  return everyRemainder(modulus, SMALL_PRIME_GROUPS, leaves);
}

/** Why the factors of a modulus can be found, or nothing where no known weakness shows. */
export function rsaWeakness(modulusBytes: Uint8Array): RsaWeakness | undefined {
  const modulus = BigInt(`0x${Buffer.from(modulusBytes).toString('hex')}`);
  const isOdd = (modulus & 1n) === 1n;
  if (!isOdd || !everyRemainder(modulus, SMALL_PRIME_GROUPS, (remainder) => remainder !== 0)) {
    return 'KEY_RSA_WEAK';
  }
  if (isRoca(modulus)) return 'KEY_RSA_ROCA';
  return hasCloseFactors(modulus) ? 'KEY_RSA_CLOSE_FACTORS' : undefined;
}
