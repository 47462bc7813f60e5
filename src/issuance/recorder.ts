import { toHex } from '../base/bytes.ts';
import { ok, type Result } from '../base/result.ts';
import type { JwtGrant, X509Grant } from '../policy/grant.ts';
import type { Logger } from '../runtime/log.ts';
import type { Validity } from './validity.ts';

/** What is written down before a signature is made: enough to account for it ever after. */
export interface IssuanceRecord extends Validity {
  /** Who asked for what, by which entry and node. */
  readonly grant: X509Grant | JwtGrant;
  /** Authority that will sign. */
  readonly authorityId: string;
  /** Serial number of a certificate, big-endian; empty for a token. */
  readonly serial: Uint8Array;
  /** SHA-256 of the to-be-signed bytes. */
  readonly tbsHash: Uint8Array;
}

/**
 * Where intent to sign is made durable. One call per batch, with at least one record; nothing of the
 * batch is signed unless it answers ok. The issuance ledger stands behind this.
 */
export interface IssuanceRecorder {
  append(records: readonly IssuanceRecord[]): Promise<Result<void>>;
}

/**
 * Records as lines of the log, one for each SVID: workloads' at debug, since there is one for each
 * rotation of each process, all others at info. Not durable, as a log is not.
 */
export function createLogRecorder(log: Logger): IssuanceRecorder {
  return {
    async append(records) {
      for (const record of records) writeLine(log, record);
      return ok(undefined);
    },
  };
}

function writeLine(log: Logger, record: IssuanceRecord): void {
  const { grant } = record;
  const level = grant.entry === undefined ? 'info' : 'debug';
  if (!log.isLevelEnabled(level)) return;
  log[level](
    {
      svid: grant.svid,
      spiffeId: grant.spiffeId.uri,
      requestedBy: grant.requestedBy,
      agentId: grant.agentId?.uri,
      entryId: grant.entry?.id,
      entryRevision: grant.entry?.revision.toString(),
      authorityId: record.authorityId,
      serial: toHex(record.serial),
      notBeforeSeconds: record.notBeforeSeconds,
      notAfterSeconds: record.notAfterSeconds,
      tbsHash: toHex(record.tbsHash),
    },
    'svid about to be signed',
  );
}
