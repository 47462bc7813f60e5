import { ok, type Result } from '../../base/result.ts';
import { findGroup, soundGroup } from './connector-groups.ts';
import {
  findBoundKey,
  findProvisioningKey,
  hasUsed,
  putBoundKey,
  soundBoundKey,
  soundProvisioningKey,
  useProvisioningKey,
} from './connector-keys.ts';
import type {
  ClaimRow,
  EnrolledRow,
  EnrolmentRow,
  RefusedEnrolment,
} from './connector-protocol.ts';
import type { BoundKeyRow, ConnectorRow, GroupRow, ProvisioningKeyRow } from './connector-rows.ts';
import {
  countLiving,
  deleteConnector,
  findConnector,
  findConnectorOf,
  livesRow,
  putConnector,
  soundConnector,
} from './connectors.ts';
import type { Database } from './database.ts';

/** What a proof that uses something up comes to, before anything is written. */
type Proven =
  | { readonly kind: 'free' }
  | { readonly kind: 'provisioning-key'; readonly key: ProvisioningKeyRow }
  | {
      readonly kind: 'bound-key';
      readonly key: BoundKeyRow;
      /** `again`: its last enrolment, whose answer may have been lost. */
      readonly standing: 'counted' | 'again' | 'behind';
    };

/** The connector that an enrolment is about. */
interface Place {
  /** Row that it takes: the claimant's own, or that of another one that ended. */
  readonly row: ConnectorRow | undefined;
  readonly own: boolean;
  /** ID of the claimant's that ended in another group. */
  readonly leaving: string | undefined;
}

type Refused = Extract<EnrolledRow, { readonly outcome: 'clone' | 'revoked' }> | RefusedEnrolment;

type Checked<T> = Result<{ readonly value: T } | { readonly refused: Refused }>;

/** Enrols a connector: everything is asked before the first write, so a refusal leaves nothing. */
export function enrolConnector(db: Database, write: EnrolmentRow): Result<EnrolledRow> {
  const found = findGroup(db, write.group);
  if (found === undefined) return ok({ outcome: 'group-missing' });
  const group = soundGroup(found);
  if (!group.ok) return group;
  const place = findPlace(db, write);
  if (!place.ok) return place;
  if ('refused' in place.value) return ok(place.value.refused);
  const proven = prove(db, write, repeats(place.value.value, write));
  if (!proven.ok) return proven;
  if ('refused' in proven.value) return ok(proven.value.refused);
  return ok(enrolAt(db, write, group.value, proven.value.value, place.value.value));
}

/** @param isAgain Whether it is what it would become already: then no provisioning key is asked for. */
function prove(
  db: Database,
  { use, group, newId, claim, now }: EnrolmentRow,
  isAgain: boolean,
): Checked<Proven> {
  if (use === undefined) return good({ kind: 'free' });
  if (use.kind === 'repetition') {
    return isAgain ? good({ kind: 'free' }) : refused({ outcome: 'no-repetition' });
  }
  if (use.kind === 'provisioning-key') {
    if (isAgain) return good({ kind: 'free' });
    const found = findProvisioningKey(db, use.keyId);
    if (found === undefined) return refused({ outcome: 'key-unknown' });
    const key = soundProvisioningKey(found);
    if (!key.ok) return key;
    if (key.value.groupName !== group) return refused({ outcome: 'key-group' });
    if (key.value.expiresAt <= now) return refused({ outcome: 'key-expired' });
    return good({ kind: 'provisioning-key', key: key.value });
  }
  const found = findBoundKey(db, use.keyId);
  if (found === undefined || found.connectorId !== newId)
    return refused({ outcome: 'key-unknown' });
  const key = soundBoundKey(found);
  if (!key.ok) return key;
  if (key.value.groupName !== group) return refused({ outcome: 'key-group' });
  const standing = countStanding(key.value, use.recoveryCount, claim.keySha256);
  return good({ kind: 'bound-key', key: key.value, standing });
}

/**
 * A connector counts with the store. One that is a single step behind may have lost its answer: it is then
 * the one that asks with the key of that very enrolment, and nothing has been heard of it since. Whoever
 * else is behind has a copy of the key, or was copied; and so it is with one that is ahead, unless the
 * database was restored from before.
 */
function countStanding(
  key: BoundKeyRow,
  stated: bigint,
  keySha256: string,
): 'counted' | 'again' | 'behind' {
  const stored = BigInt(key.recoveryCount);
  if (stated === stored || (key.restored === 1 && stated > stored)) return 'counted';
  const repeats = key.unansweredKey !== '' && key.unansweredKey === keySha256;
  return repeats && stated === stored - 1n ? 'again' : 'behind';
}

function findPlace(db: Database, { claim, group, newId, now }: EnrolmentRow): Checked<Place> {
  const found = findConnectorOf(db, claim.claimant);
  const checked = found === undefined ? ok(undefined) : soundConnector(found);
  if (!checked.ok) return checked;
  const own = checked.value;
  if (own?.standing === 'revoked') return refused({ outcome: 'revoked', row: own });
  if (own?.groupName === group) return good({ row: own, own: true, leaving: undefined });
  if (own !== undefined && livesRow(own, now)) return refused({ outcome: 'clone', row: own });
  const holder = findConnector(db, newId);
  if (holder === undefined || holder.id === own?.id) {
    return good({ row: undefined, own: false, leaving: own?.id });
  }
  const named = soundConnector(holder);
  if (!named.ok) return named;
  const { value: row } = named;
  if (row.standing === 'revoked') return refused({ outcome: 'revoked', row });
  const isFree = row.groupName === group && !livesRow(row, now);
  return isFree ? good({ row, own: false, leaving: own?.id }) : refused({ outcome: 'clone', row });
}

function enrolAt(
  db: Database,
  write: EnrolmentRow,
  group: GroupRow,
  proven: Proven,
  place: Place,
): EnrolledRow {
  const { claim, now } = write;
  const { row: before, leaving } = place;
  const living = livingAt(place, now);
  const same = repeats(place, write);
  if (
    proven.kind === 'bound-key'
      ? proven.standing === 'behind'
      : living && !same && !write.takesNewKey
  ) {
    return { outcome: 'clone', row: before };
  }
  const again = proven.kind === 'bound-key' ? proven.standing === 'again' : same;
  if (!again && isSpent(db, proven, write)) return { outcome: 'key-exhausted' };
  if (living === undefined && isFull(db, group, now)) {
    return { outcome: 'group-full', maxInstances: group.maxInstances };
  }
  if (leaving !== undefined) deleteConnector(db, leaving);
  const recoveryCount = again ? countOf(proven) : useUp(db, proven, write);
  const row =
    again && living !== undefined
      ? repeated(db, living, claim)
      : putConnector(db, enrolled(before, living, write));
  return { outcome: 'enrolled', again, row, recoveryCount };
}

function livingAt({ row }: Place, now: number): ConnectorRow | undefined {
  return row !== undefined && livesRow(row, now) ? row : undefined;
}

/** Whether a claimant comes as the connector that it is, which lives, and with its key. */
function repeats(place: Place, { claim, use, now }: EnrolmentRow): boolean {
  const living = livingAt(place, now);
  if (!place.own || living === undefined || !hasKey(living, claim.keySha256)) return false;
  return use?.kind !== 'repetition' || !hasMovedOn(living, claim.keySha256);
}

/**
 * Whether it has had its answer and gone on to other keys since it enrolled with this one: whoever comes with
 * it and no good provisioning key may have a copy of what is long replaced.
 */
function hasMovedOn(row: ConnectorRow, keySha256: string): boolean {
  if (row.serial === '' || row.keySha256 === keySha256) return false;
  if (row.previousSerial !== '' && row.previousKeySha256 === keySha256) return false;
  return row.lastHeardAt >= row.enrolledAt;
}

/** Whether it has this key: of its enrolment, of its newest SVID, or of the one still good beside that. */
function hasKey(row: ConnectorRow, keySha256: string): boolean {
  if (row.enrolmentKeySha256 === keySha256 || row.keySha256 === keySha256) return true;
  return row.previousSerial !== '' && row.previousKeySha256 === keySha256;
}

function isSpent(db: Database, proven: Proven, { claim, use }: EnrolmentRow): boolean {
  if (proven.kind === 'provisioning-key') {
    const { key } = proven;
    return key.uses >= key.maxUses && !hasUsed(db, key.id, claim.claimant);
  }
  // The first enrolment is none of the recoveries, and is stated as 0.
  return (
    proven.kind === 'bound-key' &&
    use?.kind === 'bound-key' &&
    use.recoveryCount > BigInt(proven.key.maxRecoveries)
  );
}

function isFull(db: Database, { name, maxInstances }: GroupRow, now: number): boolean {
  return maxInstances > 0 && countLiving(db, name, now) >= maxInstances;
}

/** Uses up what the proof uses up; answers the recovery count afterwards. */
function useUp(db: Database, proven: Proven, { claim, use, now }: EnrolmentRow): number {
  if (proven.kind === 'provisioning-key') {
    useProvisioningKey(db, proven.key, claim.claimant, now);
  }
  if (proven.kind !== 'bound-key' || use?.kind !== 'bound-key') return 0;
  const recoveryCount = Number(use.recoveryCount) + 1;
  const { keySha256: unansweredKey } = claim;
  putBoundKey(db, { ...proven.key, recoveryCount, unansweredKey, restored: 0 });
  return recoveryCount;
}

function countOf(proven: Proven): number {
  return proven.kind === 'bound-key' ? proven.key.recoveryCount : 0;
}

/** The row of one that enrols again as it was: only what it says of itself may be new. */
function repeated(db: Database, living: ConnectorRow, claim: ClaimRow): ConnectorRow {
  const { proof, agentId, instance } = claim;
  const same = living.proof === proof && living.agentId === agentId && living.instance === instance;
  return same ? living : putConnector(db, { ...living, proof, agentId, instance });
}

/** The row of one that enrols, in place of `before`, which is the same connector where it is `living`. */
function enrolled(
  before: ConnectorRow | undefined,
  living: ConnectorRow | undefined,
  { claim, group: groupName, newId, newSpiffeId, now }: EnrolmentRow,
): Omit<ConnectorRow, 'revision' | 'checksum'> {
  const fresh = {
    id: before?.id ?? newId,
    spiffeId: before?.spiffeId ?? newSpiffeId,
    groupName,
    ...claim,
    enrolmentKeySha256: claim.keySha256,
    enrolledAt: now,
  };
  // A drain outlives a recovery: it is not the connector's to end.
  if (living !== undefined) return { ...living, ...fresh, ...keyOf(living) };
  // An SVID that is good yet stays on record: what it is revoked by.
  const svid = before !== undefined && before.expiresAt > now ? before : undefined;
  if (svid === undefined) return { ...NEW, ...NO_SVID, ...fresh };
  return { ...NEW, ...svidOf(svid), ...fresh, ...keyOf(svid) };
}

/** The key of the newest SVID, until one is signed for the key of this enrolment. */
function keyOf({ serial, keySha256 }: ConnectorRow): { readonly keySha256?: string } {
  return serial === '' ? {} : { keySha256 };
}

const NEW = {
  standing: 'enrolled',
  reason: '',
  lastHeardAt: 0,
  drainDeadlineMs: 0,
  endedAt: 0,
} as const;

type Svid = Pick<
  ConnectorRow,
  'serial' | 'expiresAt' | 'previousSerial' | 'previousExpiresAt' | 'previousKeySha256'
>;

const NO_SVID: Svid = {
  serial: '',
  expiresAt: 0,
  previousSerial: '',
  previousExpiresAt: 0,
  previousKeySha256: '',
};

function svidOf(row: Svid): Svid {
  const { serial, expiresAt, previousSerial, previousExpiresAt, previousKeySha256 } = row;
  return { serial, expiresAt, previousSerial, previousExpiresAt, previousKeySha256 };
}

function good<T>(value: T): Checked<T> {
  return ok({ value });
}

function refused(refusal: Refused): Checked<never> {
  return ok({ refused: refusal });
}
