import { fail, ok, type Result } from '../base/result.ts';

/** Most audiences of one JWT-SVID. */
export const MAX_AUDIENCES = 32;

/** Longest audience in bytes. */
export const MAX_AUDIENCE_BYTES = 1024;

/** Checks the audiences of a JWT-SVID: 1 to 32, distinct, well-formed text (JWT-SVID §3.2). */
export function checkAudience(audience: readonly string[]): Result<readonly string[]> {
  if (audience.length === 0) return fail('AUDIENCE_EMPTY', 'at least one audience is needed');
  if (audience.length > MAX_AUDIENCES) {
    return fail('AUDIENCE_TOO_MANY', `${audience.length} audiences; at most ${MAX_AUDIENCES}`);
  }
  for (const [index, text] of audience.entries()) {
    if (text === '') return fail('AUDIENCE_EMPTY', `audience ${index} is empty`);
    if (Buffer.byteLength(text) > MAX_AUDIENCE_BYTES) {
      return fail('AUDIENCE_INVALID', `audience ${index} exceeds ${MAX_AUDIENCE_BYTES} bytes`);
    }
    if (!text.isWellFormed() || text.includes('\0') || text.includes('\ufffd')) {
      return fail('AUDIENCE_INVALID', `audience ${index} holds a NUL or is not valid UTF-8`);
    }
  }
  if (new Set(audience).size !== audience.length) {
    return fail('AUDIENCE_INVALID', 'an audience is repeated');
  }
  return ok(Object.freeze([...audience]));
}
