import { ok, type Result } from '../base/result.ts';
import type { CaGrant, JwtGrant, X509Grant } from './grant.ts';

/** Every grant that was made; a look-alike from elsewhere is not in it. */
const made = new WeakSet<X509Grant | JwtGrant | CaGrant>();

/** A grant without its brand: symbol keys are the only thing left out. */
export type Unsealed<G> = { readonly [K in keyof G as K extends symbol ? never : K]: G[K] };

/** Makes a grant of what was judged; only policy does. */
export function seal<G extends X509Grant | JwtGrant | CaGrant>(grant: Unsealed<G>): Result<G> {
  // The brand exists for the compiler only; this is the one place that gives it.
  const sealed = Object.freeze(grant) as G;
  made.add(sealed);
  return ok(sealed);
}

/** Whether policy made a grant. */
export function isSealed(grant: X509Grant | JwtGrant | CaGrant): boolean {
  return made.has(grant);
}
