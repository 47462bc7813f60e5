import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Version of the encoding. */
const VERSION = 1;

/** What records are about: SVIDs by kind, agents' SVIDs, CA certificates, and acts on them. */
export const RECORD_KINDS = ['x509', 'jwt', 'wit', 'agent', 'ca', 'act'] as const;

/** Kind of a record. */
export type RecordKind = (typeof RECORD_KINDS)[number];

/** Acts that are recorded. */
export const ACTS = [
  'taint',
  'revoke',
  'ban',
  'evict',
  'restore',
  'import',
  'commission',
  'baseline',
  'quarantine',
  'release',
  'retire',
  'attest',
  'confirm-host',
  'suspect-clone',
  'put',
  'create',
  'delete',
  'drain',
  'resume',
  'command',
  'hand-out',
  'activate',
] as const;

/** What was done to a SPIFFE ID, a serial, an authority, a DPU or a connector, or to the server as a whole. */
export type Act = (typeof ACTS)[number];

/**
 * A record as it stands in the ledger. Fields that a kind does not have are left out. Binary values
 * are lower-case hexadecimal, 64-bit numbers are text.
 */
export interface LedgerRecord {
  readonly kind: RecordKind;
  /** Unix milliseconds at which it was written down, right before the signature. */
  readonly timeMs: number;
  /** Of what was signed; for an act, of what it was done to. */
  readonly spiffeId?: string | undefined;
  readonly serial?: string | undefined;
  /** Authority that signs; for an act, the one it was done to. */
  readonly authorityId?: string | undefined;
  readonly entryId?: string | undefined;
  readonly entryRevision?: string | undefined;
  readonly agentId?: string | undefined;
  /** How the node was attested, where that is known. */
  readonly assurance?: string | undefined;
  readonly podUid?: string | undefined;
  /** The rule of Kubernetes that gave the pod its identity. */
  readonly rule?: string | undefined;
  /** Who asked: `agent:<id>`, `local:<uid>`, `admin:<id>`, `connector:<id>`, `attestation:<type>`, `self`. */
  readonly requestedBy?: string | undefined;
  /** Unix seconds. */
  readonly notBefore?: number | undefined;
  /** Unix seconds. */
  readonly notAfter?: number | undefined;
  /** SHA-256 of what is signed: TBSCertificate, or the input of a token's signature. */
  readonly tbsHash?: string | undefined;
  readonly act?: Act | undefined;
  /** For an act on a DPU: its serial number. */
  readonly dpu?: string | undefined;
  /** For an act on a connector: its ID; else `group/`, `segment/`, `key/`, `bound-key/` or `vendor-key/` and a name, or `enrolment-root`. */
  readonly connector?: string | undefined;
  /** For an act on a DPU or a connector: why. */
  readonly reason?: string | undefined;
  /** For a restore: the last checkpoint of the ledger before this one, a signed note. */
  readonly previous?: string | undefined;
  /** Of a CA that is not for SVIDs: what it is for, such as `enrolment-ca:zpa`. */
  readonly purpose?: string | undefined;
}

type Shape = 'text' | 'hex' | 'number' | 'decimal';

/** Every field but `v` and `kind`, in the order in which they are written. */
const FIELDS = {
  timeMs: 'number',
  act: 'text',
  spiffeId: 'text',
  serial: 'hex',
  authorityId: 'text',
  entryId: 'text',
  entryRevision: 'decimal',
  agentId: 'text',
  assurance: 'text',
  podUid: 'text',
  requestedBy: 'text',
  notBefore: 'number',
  notAfter: 'number',
  tbsHash: 'hex',
  dpu: 'text',
  reason: 'text',
  previous: 'text',
  rule: 'text',
  purpose: 'text',
  connector: 'text',
} as const satisfies Record<Exclude<keyof LedgerRecord, 'kind'>, Shape>;

/**
 * The one encoding of a record: JSON on one line, fields in a fixed order, no spaces, absent fields
 * left out. What is hashed into the tree.
 */
export function encodeRecord(record: LedgerRecord): Uint8Array {
  // Written out in the order of FIELDS; JSON leaves undefined out.
  return utf8(
    JSON.stringify({
      v: VERSION,
      kind: record.kind,
      timeMs: record.timeMs,
      act: record.act,
      spiffeId: record.spiffeId,
      serial: record.serial,
      authorityId: record.authorityId,
      entryId: record.entryId,
      entryRevision: record.entryRevision,
      agentId: record.agentId,
      assurance: record.assurance,
      podUid: record.podUid,
      requestedBy: record.requestedBy,
      notBefore: record.notBefore,
      notAfter: record.notAfter,
      tbsHash: record.tbsHash,
      dpu: record.dpu,
      reason: record.reason,
      previous: record.previous,
      rule: record.rule,
      purpose: record.purpose,
      connector: record.connector,
    }),
  );
}

/**
 * Reads a record back. Only the very bytes that {@link encodeRecord} writes are taken, which also
 * rules out what JSON.parse lets pass: other orders, duplicates, spaces, rounded numbers. Fails with
 * LEDGER_RECORD_INVALID.
 */
export function decodeRecord(bytes: Uint8Array): Result<LedgerRecord> {
  const value = parseObject(bytes);
  if (value === undefined) return invalid('is no JSON object');
  if (value.v !== VERSION) return invalid('has a version that this program does not know');
  const known =
    RECORD_KINDS.some((kind) => kind === value.kind) &&
    (value.act === undefined || ACTS.some((act) => act === value.act)) &&
    Object.entries(FIELDS).every(([name, shape]) => fits(value[name], shape)) &&
    value.timeMs !== undefined;
  if (!known) return invalid('has a field of another form');
  // Every field was looked at just now; what is not a field is refused by the comparison.
  const record = value as unknown as LedgerRecord;
  const { v: _version, ...fields } = value;
  const same = Buffer.compare(encodeRecord(record), bytes) === 0;
  return same ? ok(fields as unknown as LedgerRecord) : invalid('is not in its canonical form');
}

/** The bytes that a field with a value has in a record: to look for without decoding. */
export function fieldBytes(name: keyof typeof FIELDS, value: string): Uint8Array {
  return utf8(`"${name}":${JSON.stringify(value)}`);
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? { ...value }
      : undefined;
  } catch {
    return undefined;
  }
}

function fits(value: unknown, shape: Shape): boolean {
  if (value === undefined) return true;
  if (shape === 'number') return Number.isSafeInteger(value) && Number(value) >= 0;
  if (typeof value !== 'string') return false;
  if (shape === 'hex') return /^([0-9a-f]{2})+$/.test(value);
  return shape === 'text' ? value !== '' : /^(0|[1-9][0-9]{0,19})$/.test(value);
}

function invalid(what: string): Result<never> {
  return fail('LEDGER_RECORD_INVALID', `a record ${what}`);
}
