import { fail, ok, type Result } from '../base/result.ts';
import { MAX_TTL_SECONDS } from '../rules/entry-draft.ts';
import type { PolicyContext } from './context.ts';
import type { AdminCaller, LocalCaller } from './grant.ts';
import { operatorName, requireFresh } from './grants.ts';

declare const brand: unique symbol;

/** Leave to have the enrolment CA of a vendor signed. Only {@link grantEnrolmentCa} makes one. */
export interface EnrolmentCaGrant {
  readonly [brand]: true;
  /** Name of the vendor, such as `zpa`. */
  readonly vendor: string;
  /** Who asked: `local:<uid>` or `admin:<id>`. */
  readonly requestedBy: string;
  /** 0 takes the default. */
  readonly ttlSeconds: number;
}

/** Every grant that was made; a look-alike from elsewhere is not in it. */
const made = new WeakSet<EnrolmentCaGrant>();

const VENDOR = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** The enrolment CA of a vendor: for operators, and no SVID. */
export function grantEnrolmentCa(
  caller: LocalCaller | AdminCaller,
  { vendor, ttlSeconds }: { readonly vendor: string; readonly ttlSeconds: number },
  context: PolicyContext,
): Result<EnrolmentCaGrant> {
  const fresh = requireFresh(context);
  if (!fresh.ok) return fresh;
  if (!VENDOR.test(vendor)) {
    return fail('FIELD_INVALID', 'vendor is not 1 to 32 of a-z, 0-9 and -');
  }
  if (ttlSeconds < 0 || ttlSeconds > MAX_TTL_SECONDS) {
    return fail('TTL_RANGE', `lifetime of ${ttlSeconds} s is out of range`);
  }
  const said = { vendor, ttlSeconds, requestedBy: operatorName(caller) };
  // The brand exists for the compiler only; this is the one place that gives it.
  const grant = Object.freeze(said) as EnrolmentCaGrant;
  made.add(grant);
  return ok(grant);
}

/** Whether policy made a grant. */
export function isEnrolmentCaGrant(grant: EnrolmentCaGrant): boolean {
  return made.has(grant);
}
