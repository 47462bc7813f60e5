import type { Clock } from '../../src/base/clock.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { ValidateJWTSVIDRequest, ValidateJWTSVIDResponse } from '../../src/gen/workload.ts';
import type { BundleSource } from '../../src/spiffe/bundle.ts';
import { jsonToPlain } from '../../src/spiffe/json.ts';
import { type JwtSvid, validateJwtSvid } from '../../src/spiffe/jwt-svid.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';

/** What validation shows of a token. */
export interface ValidationPolicy {
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  /** Claims that tokens of other trust domains show beside `sub`, `aud` and `exp`. */
  readonly allowedForeignClaims: ReadonlySet<string>;
}

/** Claims that a token always shows (WLAPI-29). */
const SPIFFE_CLAIMS: ReadonlySet<string> = new Set(['sub', 'aud', 'exp']);

/** Validates a token for a workload (Workload API §6.2.3). Fails with WORKLOAD_TOKEN_INVALID. */
export function validateToken(
  request: ValidateJWTSVIDRequest,
  bundles: BundleSource,
  policy: ValidationPolicy,
): Result<ValidateJWTSVIDResponse> {
  const svid = validateJwtSvid({
    token: request.svid,
    audience: request.audience,
    bundles,
    atMs: policy.clock.nowMs(),
  });
  // Whatever rule it breaks, it is the argument that is wrong (spiffe-conformance §2.4).
  if (!svid.ok) {
    return fail('WORKLOAD_TOKEN_INVALID', svid.error.message, { cause: svid.error });
  }
  return ok({ spiffeId: svid.value.id.uri, claims: shownClaims(svid.value, policy) });
}

function shownClaims(svid: JwtSvid, policy: ValidationPolicy): Record<string, unknown> {
  const foreign = svid.id.trustDomain.name !== policy.trustDomain.name;
  const claims: Record<string, unknown> = Object.create(null);
  for (const [name, value] of svid.claims) {
    const shown = !foreign || SPIFFE_CLAIMS.has(name) || policy.allowedForeignClaims.has(name);
    if (shown) claims[name] = jsonToPlain(value);
  }
  // A list, whether the token has a list or one string: callers need one form.
  claims.aud = [...svid.audience];
  return claims;
}
