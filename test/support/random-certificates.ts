import fc from 'fast-check';
import type { AuthorityManager, AuthoritySource } from '../../src/authority/authority.ts';
import { createIssuingCa, type IssuingCa } from '../../src/authority/issuing-ca.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { encodePem } from '../../src/der/pem.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { makeIssuer, SILENT, startAuthorities, TRUST_DOMAIN, x509Grant } from './issuance.ts';
import { makeCsr, makeKey, type TestKey } from './x509.ts';

/** Certificates that were issued as the product issues them, and who issued them. */
export interface RandomCertificates {
  /** Each leaf with its intermediates, PEM. */
  readonly chains: readonly (readonly string[])[];
  readonly intermediates: readonly string[];
  readonly roots: readonly string[];
}

/** One certificate to be asked for. */
interface Wish {
  readonly path: string;
  readonly dnsNames: readonly string[];
  readonly ttlSeconds: number;
  readonly purpose: 'workload' | 'agent';
  readonly key: number;
  readonly authority: number;
}

const letters = (alphabet: string) => fc.constantFrom(...alphabet);
const LOWER = 'abcdefghijklmnopqrstuvwxyz0123456789';
const segment = fc
  .string({ unit: letters(`${LOWER}${LOWER.toUpperCase()}._-`), minLength: 1, maxLength: 40 })
  .filter((text) => text !== '.' && text !== '..');
const path = fc
  .array(segment, { minLength: 1, maxLength: 8 })
  .map((segments) => `/${segments.join('/')}`);
const label = fc
  .string({ unit: letters(`${LOWER}-`), minLength: 1, maxLength: 63 })
  .filter((text) => !/^-|-$|^..--/.test(text));
const dnsName = fc
  .array(label, { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join('.'))
  .filter((name) => name.length <= 253 && !/^[0-9.]+$/.test(name));

/** Kinds of key that the wishes share: RSA keys take long to make. */
const KEY_TYPES = [
  'ec-p256',
  'ec-p256',
  'ec-p256',
  'ec-p384',
  'ec-p384',
  'rsa-2048',
  'rsa-2048',
] as const;

const wish: fc.Arbitrary<Wish> = fc.record({
  path,
  dnsNames: fc.uniqueArray(dnsName, { maxLength: 5 }),
  ttlSeconds: fc.oneof(fc.constant(0), fc.integer({ min: 600, max: 200_000 })),
  purpose: fc.constantFrom('workload' as const, 'agent' as const),
  key: fc.nat(KEY_TYPES.length - 1),
  authority: fc.nat(4),
});

/** Roots of each kind of key, and issuing CAs below one, with and without a name constraint. */
async function authorities(): Promise<{
  readonly sources: readonly AuthoritySource[];
  readonly roots: readonly AuthoritySource[];
  readonly close: () => Promise<void>;
}> {
  const roots: AuthorityManager[] = [];
  for (const x509KeyType of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
    roots.push(await startAuthorities({ x509KeyType, ttlSeconds: 400_000 }));
  }
  const issuing: IssuingCa[] = [];
  for (const nameConstraint of [false, true]) {
    const made = createIssuingCa({
      trustDomain: TRUST_DOMAIN,
      roots: roots[0]!,
      clock: systemClock,
      random: systemRandom,
      log: SILENT,
      metrics: createMetrics('test'),
      nameConstraint,
    });
    unwrap(await made.start());
    issuing.push(made);
  }
  const close = async () => {
    for (const each of [...issuing, ...roots]) await each.close();
  };
  return { sources: [...roots, ...issuing], roots, close };
}

/** Issues so many certificates with whatever the seed says, through the product's own issuer. */
export async function randomCertificates(count: number, seed: number): Promise<RandomCertificates> {
  const { sources, roots, close } = await authorities();
  const keys: readonly TestKey[] = KEY_TYPES.map((type) => makeKey(type));
  const csrs = keys.map((key) => makeCsr({ key }));
  const wishes = fc.sample(wish, { numRuns: count, seed });
  const chains: (readonly string[])[] = [];
  for (const [index, authority] of sources.entries()) {
    const issuer = makeIssuer({ authority, workers: 1 });
    const items = wishes
      .filter((each) => each.authority === index)
      .map(({ path: where, key, ...rest }) => ({ grant: x509Grant(where, rest), csr: csrs[key]! }));
    for (const issued of await issuer.issueX509Batch(items)) {
      chains.push(unwrap(issued).chain.map((der) => encodePem('CERTIFICATE', der)));
    }
    await issuer.close();
  }
  const pemOf = (source: AuthoritySource) =>
    encodePem('CERTIFICATE', unwrap(source.currentX509()).certificate.der);
  const intermediates = sources.slice(roots.length).map(pemOf);
  const made = { chains, intermediates, roots: roots.map(pemOf) };
  await close();
  return made;
}
