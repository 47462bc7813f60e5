import { fail, ok, type Result } from '../base/result.ts';

/** Most audiences of one token: what every known client accepts. */
export const MAX_AUDIENCES = 32;
/** Longest audiences of one token together, in bytes of UTF-8 as JSON writes them. */
export const MAX_AUDIENCE_BYTES = 8_192;

/**
 * Checks the audiences that a JWT-SVID is asked for (JWT-SVID §3.2), the same in agent and server, and
 * answers them once each, in order. None at all is refused as `audience must be specified`, the text
 * that clients know. Fails with AUDIENCE_EMPTY, AUDIENCE_TOO_MANY or AUDIENCE_INVALID.
 */
export function checkAudience(asked: readonly string[]): Result<readonly string[]> {
  if (asked.length === 0) return fail('AUDIENCE_EMPTY', 'audience must be specified');
  // One that is asked for twice is no mistake: SPIRE takes it too.
  const audience = [...new Set(asked)];
  if (audience.length > MAX_AUDIENCES) {
    return fail('AUDIENCE_TOO_MANY', `more than ${MAX_AUDIENCES} audiences`);
  }
  let bytes = 0;
  for (const value of audience) {
    if (value === '') return fail('AUDIENCE_EMPTY', 'an audience is empty');
    // What was not UTF-8 on the wire holds U+FFFD by now; at a NUL some readers would stop.
    if (!value.isWellFormed() || value.includes('\0') || value.includes('\ufffd')) {
      return fail('AUDIENCE_INVALID', 'an audience holds a NUL or is not Unicode text');
    }
    // Without its quotes. An escape takes up to six bytes, and they are what makes the token long.
    bytes += Buffer.byteLength(JSON.stringify(value)) - 2;
  }
  if (bytes > MAX_AUDIENCE_BYTES) {
    return fail('AUDIENCE_INVALID', `audiences are longer than ${MAX_AUDIENCE_BYTES} bytes`);
  }
  return ok(Object.freeze(audience));
}
