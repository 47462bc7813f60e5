import type { Database } from './database.ts';
import type { ArgsOf, ClaimedRow } from './protocol.ts';
import type { TokenRow } from './rows.ts';

/** How long a claim may be repeated with the same key, since its reply may have been lost. */
const RETRY_SECONDS = 60;

interface StoredToken extends TokenRow {
  readonly csrKeyHash: string | null;
  readonly claimedAt: number | null;
  readonly answer: Uint8Array | null;
}

/** Keeps a new token. */
export function createJoinToken(
  db: Database,
  { tokenHash, expiresAt, aliasId }: ArgsOf<'createJoinToken'>,
): 'created' | 'exists' {
  const changed = db.run(
    `INSERT INTO join_tokens (token_hash, expires_at, alias_id) VALUES (?, ?, ?)
      ON CONFLICT DO NOTHING`,
    tokenHash,
    expiresAt,
    aliasId,
  );
  return changed === 1 ? 'created' : 'exists';
}

/** Claims a token: one `UPDATE` that only one claimer can win decides, not what was read before. */
export function claimJoinToken(
  db: Database,
  { tokenHash, csrKeyHash, now }: ArgsOf<'claimJoinToken'>,
): ClaimedRow {
  const won = db.run(
    `UPDATE join_tokens SET csr_key_hash = ?, claimed_at = ?
      WHERE token_hash = ? AND csr_key_hash IS NULL AND expires_at > ?`,
    csrKeyHash,
    now,
    tokenHash,
    now,
  );
  const stored = db.get<StoredToken>(
    `SELECT token_hash AS tokenHash, expires_at AS expiresAt, alias_id AS aliasId,
      csr_key_hash AS csrKeyHash, claimed_at AS claimedAt, answer
      FROM join_tokens WHERE token_hash = ?`,
    tokenHash,
  );
  if (stored === undefined) return { outcome: 'unknown' };
  const { expiresAt, aliasId, claimedAt, answer } = stored;
  const token = { tokenHash, expiresAt, aliasId };
  if (won === 1) return { outcome: 'claimed', token };
  if (claimedAt === null) return { outcome: 'expired' };
  const repeated = stored.csrKeyHash === csrKeyHash && now <= claimedAt + RETRY_SECONDS;
  return repeated
    ? { outcome: 'retry', token, answer: answer ?? undefined }
    : { outcome: 'consumed' };
}

/** Forgets tokens that can be neither claimed nor repeated any more. */
export function deleteExpiredTokens(db: Database, now: number): void {
  db.run('DELETE FROM join_tokens WHERE expires_at < ?', now - RETRY_SECONDS);
}
