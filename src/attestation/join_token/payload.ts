import { fail, ok, type Result } from '../../base/result.ts';

/** Name of the attestor: `AttestationData.type`, and the segment of agent IDs. */
export const JOIN_TOKEN_TYPE = 'join_token';

/** Longest join token, in bytes. Tokens are ASCII. */
export const MAX_JOIN_TOKEN_BYTES = 512;

/** What a path segment of a SPIFFE ID may hold (SPIFFE-ID §2.2): the token becomes one. */
const TOKEN = /^[a-zA-Z0-9._-]+$/;

/**
 * Checks a join token as an operator gives it or a payload holds it. A token is one path segment of
 * the agent ID that it yields, so what could change the shape of an ID (a slash, `..`, a NUL) is
 * refused here, on both sides of the wire. Fails with JOIN_TOKEN_MALFORMED; never quotes the token.
 */
export function parseJoinToken(text: string): Result<string> {
  if (text === '') return fail('JOIN_TOKEN_MALFORMED', 'join token is empty');
  if (text.length > MAX_JOIN_TOKEN_BYTES) {
    return fail(
      'JOIN_TOKEN_MALFORMED',
      `join token is longer than ${MAX_JOIN_TOKEN_BYTES} characters`,
    );
  }
  if (!TOKEN.test(text) || text === '.' || text === '..') {
    return fail(
      'JOIN_TOKEN_MALFORMED',
      'join token may hold only letters, digits, dots, dashes and underscores',
    );
  }
  return ok(text);
}

/** The payload of a join token attestation: the token's bytes, nothing around them (SPIRE's form). */
export function encodeJoinTokenPayload(token: string): Buffer {
  return Buffer.from(token, 'latin1');
}

/** The token of a payload; fails with JOIN_TOKEN_MALFORMED. */
export function decodeJoinTokenPayload(payload: Uint8Array): Result<string> {
  // latin1 maps bytes to characters one to one, so no byte sequence can pass as another token.
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return parseJoinToken(bytes.toString('latin1'));
}
