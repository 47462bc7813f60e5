import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Most audiences of one token: what every known client accepts. */
export const MAX_AUDIENCES = 32;
/** Longest audiences of one token, in bytes together. */
export const MAX_AUDIENCE_BYTES = 8_192;

/**
 * Checks the audiences that a JWT-SVID is asked for (JWT-SVID §3.2) and answers them once each, in
 * order. No audience at all is refused as `audience must be specified`, the text that clients know.
 */
export function checkAudience(audience: readonly string[]): Result<readonly string[]> {
  if (audience.length === 0) return fail('AUDIENCE_INVALID', 'audience must be specified');
  if (audience.length > MAX_AUDIENCES) {
    return fail('AUDIENCE_INVALID', `more than ${MAX_AUDIENCES} audiences`);
  }
  let bytes = 0;
  for (const value of audience) {
    if (value === '') return fail('AUDIENCE_INVALID', 'an audience is empty');
    if (!value.isWellFormed()) return fail('AUDIENCE_INVALID', 'an audience is not Unicode text');
    bytes += utf8(value).length;
  }
  if (bytes > MAX_AUDIENCE_BYTES) {
    return fail('AUDIENCE_INVALID', `audiences are longer than ${MAX_AUDIENCE_BYTES} bytes`);
  }
  return ok([...new Set(audience)]);
}
