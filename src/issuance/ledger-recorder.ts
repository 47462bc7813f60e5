import type { RecordCa } from '../authority/x509-certificate.ts';
import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { ok, type Result } from '../base/result.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type Act, encodeRecord, type LedgerRecord } from '../ledger/record.ts';
import type { GrantedPod, JwtGrant, X509Grant } from '../policy/grant.ts';
import type { IssuanceRecord, IssuanceRecorder } from './recorder.ts';

/** Something that was done to what was issued. */
export interface RecordedAct {
  readonly act: Act;
  /** What it was done to. */
  readonly spiffeId?: string;
  readonly serial?: string;
  readonly authorityId?: string;
  /** Serial number of the DPU that it was done to. */
  readonly dpu?: string;
  /** A connector, or what belongs to connectors, as {@link LedgerRecord.connector}. */
  readonly connector?: string;
  /** Why, in the words of who did it. */
  readonly reason?: string;
  /** Who did it, as grants name callers. */
  readonly requestedBy: string;
}

/** Writes down acts; answers when the record is durable. */
export type RecordAct = (act: RecordedAct) => Promise<Result<void>>;

/** What is written into the ledger, by who writes it. */
export interface LedgerRecorder extends IssuanceRecorder {
  readonly recordCa: RecordCa;
  readonly recordAct: RecordAct;
}

/**
 * Records as leaves of the ledger: one leaf for each SVID, one append for a batch. SVIDs wait for
 * `mayIssue`; acts such as bans, and CA certificates, are recorded whatever it says.
 */
export function createLedgerRecorder(
  ledger: Pick<Ledger, 'append'>,
  clock: Clock,
  mayIssue: () => Result<void> = () => ok(undefined),
): LedgerRecorder {
  const append = async (records: readonly LedgerRecord[]): Promise<Result<void>> => {
    const entries = records.map((record) => ({
      bytes: encodeRecord(record),
      timeMs: record.timeMs,
    }));
    const appended = await ledger.append(entries);
    return appended.ok ? ok(undefined) : appended;
  };
  return {
    async append(records) {
      const allowed = mayIssue();
      if (!allowed.ok) return allowed;
      const timeMs = clock.nowMs();
      return append(records.map((record) => svidRecord(record, timeMs)));
    },
    recordCa: (ca) =>
      append([
        {
          kind: 'ca',
          timeMs: clock.nowMs(),
          spiffeId: ca.trustDomain?.id,
          serial: toHex(ca.serial),
          authorityId: toHex(ca.keyId),
          requestedBy: ca.requestedBy ?? 'self',
          notBefore: ca.notBeforeSeconds,
          notAfter: ca.notAfterSeconds,
          tbsHash: toHex(ca.tbsHash),
          purpose: ca.purpose,
        },
      ]),
    recordAct: (act) => append([{ kind: 'act', timeMs: clock.nowMs(), ...act }]),
  };
}

/** Tells several recorders one after the other; the first refusal ends it. */
export function inTurn(recorders: readonly IssuanceRecorder[]): IssuanceRecorder {
  return {
    async append(records) {
      for (const recorder of recorders) {
        const recorded = await recorder.append(records);
        if (!recorded.ok) return recorded;
      }
      return ok(undefined);
    },
  };
}

function podOf(grant: JwtGrant | X509Grant): GrantedPod | undefined {
  return grant.svid === 'x509' ? grant.pod : undefined;
}

function svidRecord(record: IssuanceRecord, timeMs: number): LedgerRecord {
  const { grant } = record;
  return {
    kind: grant.svid === 'x509' && grant.purpose === 'agent' ? 'agent' : grant.svid,
    timeMs,
    spiffeId: grant.spiffeId.uri,
    serial: record.serial.length === 0 ? undefined : toHex(record.serial),
    authorityId: record.authorityId,
    entryId: grant.entry?.id,
    entryRevision: grant.entry?.revision.toString(),
    agentId: grant.agentId?.uri,
    assurance: grant.assurance,
    podUid: podOf(grant)?.uid,
    rule: podOf(grant)?.rule,
    requestedBy: grant.requestedBy,
    notBefore: record.notBeforeSeconds,
    notAfter: record.notAfterSeconds,
    tbsHash: toHex(record.tbsHash),
  };
}
