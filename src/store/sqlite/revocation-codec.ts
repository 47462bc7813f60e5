import { fail, ok, type Result } from '../../base/result.ts';
import { REVOCATION_REASONS, type Revocation, reasonOfNumber } from '../../rules/revocation.ts';
import type { Interner } from './interner.ts';
import { type RevocationRow, revocationChecksum } from './rows.ts';

/** Encodes a revocation. */
export function encodeRevocation(revocation: Revocation): Omit<RevocationRow, 'checksum'> {
  return {
    serial: revocation.serial,
    spiffeId: revocation.spiffeId.uri,
    agentId: revocation.agentId?.uri ?? null,
    authorityId: revocation.authorityId,
    issuer: Buffer.from(revocation.issuerDer ?? []).toString('base64'),
    notAfter: revocation.notAfterSeconds,
    revokedAt: revocation.revokedAtSeconds,
    reason: REVOCATION_REASONS[revocation.reason],
  };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeRevocation(row: RevocationRow, intern: Interner): Result<Revocation> {
  if (row.checksum !== revocationChecksum(row)) return damaged(row.serial, 'checksum differs');
  const spiffeId = intern.spiffeId(row.spiffeId);
  if (!spiffeId.ok) return damaged(row.serial, 'SPIFFE ID is malformed');
  const agentId = row.agentId === null ? ok(undefined) : intern.spiffeId(row.agentId);
  if (!agentId.ok) return damaged(row.serial, 'agent ID is malformed');
  const reason = reasonOfNumber(row.reason);
  if (reason === undefined) return damaged(row.serial, 'reason is not known');
  return ok({
    serial: row.serial,
    spiffeId: spiffeId.value,
    agentId: agentId.value,
    authorityId: row.authorityId,
    issuerDer: row.issuer === '' ? undefined : Buffer.from(row.issuer, 'base64'),
    notAfterSeconds: row.notAfter,
    revokedAtSeconds: row.revokedAt,
    reason,
  });
}

function damaged(serial: string, why: string): Result<never> {
  return fail('STORE_CORRUPT', `the revocation of ${serial} is damaged: ${why}`);
}
