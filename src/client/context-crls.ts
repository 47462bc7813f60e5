import type { Result } from '../base/result.ts';
import { type Bundle, x509Roots } from '../spiffe/bundle.ts';
import { type Crl, parseCrl } from '../x509/crl.ts';
import { trustCrl } from '../x509/crl-trust.ts';
import type { RevocationCheck, TrustedCrl } from '../x509/revocation.ts';

/** Longest CRL of a response, and most of them. */
const MAX_CRL_BYTES = 1024 * 1024;
const MAX_CRLS = 16;

/**
 * What becomes of a peer of whom no CRL in force says anything: `accept` for as long as servers do not
 * give CRLs to workloads, `refuse` where they do. One that a CRL lists is refused in any case.
 */
export type UnknownRevocation = RevocationCheck['unknown'];

/**
 * The CRLs of one response of the Workload API. One that cannot be read, or that nobody of a bundle
 * signed, is as if it had not come: nothing says what the field may hold, and what it holds must not
 * keep an SVID from being renewed. Who wants to be sure refuses what is unknown.
 */
export class ContextCrls {
  readonly #crls: readonly Crl[];
  readonly #trusted = new Map<Crl, Map<string, TrustedCrl>>();

  constructor(ders: readonly Uint8Array[]) {
    this.#crls = ders.slice(0, MAX_CRLS).flatMap((der) => valuesOf(parseCrl(der, MAX_CRL_BYTES)));
  }

  /** How a peer with a bundle of the same response is judged. */
  check(bundle: Bundle, unknown: UnknownRevocation, atMs: number): RevocationCheck {
    return { crls: this.#crls.flatMap((crl) => this.#trust(crl, bundle, atMs)), unknown };
  }

  /** Judged once for each bundle: both are as they are for as long as the response stands. */
  #trust(crl: Crl, bundle: Bundle, atMs: number): readonly TrustedCrl[] {
    const { name } = bundle.trustDomain;
    const known = this.#trusted.get(crl)?.get(name);
    if (known !== undefined) return [known];
    const trusted = valuesOf(trustCrl(crl, { roots: x509Roots(bundle), atMs }));
    const byName = this.#trusted.get(crl) ?? new Map<string, TrustedCrl>();
    this.#trusted.set(crl, byName);
    for (const one of trusted) byName.set(name, one);
    return trusted;
  }
}

function valuesOf<T>(result: Result<T>): readonly T[] {
  return result.ok ? [result.value] : [];
}
