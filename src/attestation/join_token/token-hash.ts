import { createHash } from 'node:crypto';

/** The form that a join token is kept in: SHA-256, hex. Tokens are random, so no salt is needed. */
export function hashJoinToken(token: string): string {
  return createHash('sha256').update(token, 'latin1').digest('hex');
}
