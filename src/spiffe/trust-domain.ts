import { fail, ok, type Result } from '../base/result.ts';

declare const brand: unique symbol;

/** Name of a trust domain, checked: exists only through {@link parseTrustDomain}. */
export interface TrustDomain {
  /** Bare lower-case name, such as `example.org`. */
  readonly name: string;
  /** Its SPIFFE ID, such as `spiffe://example.org`: the form of map keys and CA certificates. */
  readonly id: string;
  readonly [brand]: true;
}

/** Longest trust domain name in bytes (SPIFFE-ID §2.3). */
export const MAX_TRUST_DOMAIN_BYTES = 255;

const NAME = /^[a-z0-9._-]+$/;

/**
 * Reads a bare name or a `spiffe://name` with no path. Upper case is refused here, as in
 * registration; {@link parseSpiffeId} folds it on input that is validated (SPIFFE-ID §2.1, §2.4).
 */
export function parseTrustDomain(text: string): Result<TrustDomain> {
  const name = text.startsWith('spiffe://') ? text.slice('spiffe://'.length) : text;
  if (name === '') return fail('TRUST_DOMAIN_EMPTY', 'trust domain name is empty');
  if (name.length > MAX_TRUST_DOMAIN_BYTES) {
    return fail(
      'TRUST_DOMAIN_TOO_LONG',
      `trust domain name is longer than ${MAX_TRUST_DOMAIN_BYTES} bytes`,
    );
  }
  if (!NAME.test(name)) {
    return fail(
      'TRUST_DOMAIN_CHARACTER',
      'trust domain name may hold only lower-case letters, digits, dots, dashes and underscores',
    );
  }
  // The brand exists for the compiler only.
  return ok(Object.freeze({ name, id: `spiffe://${name}` }) as TrustDomain);
}
