import { fail, ok, type Result } from '../base/result.ts';
import {
  type ListRevokedX509SVIDsRequest,
  ListRevokedX509SVIDsResponse,
  type RevocationService,
  type RevokedX509SVID,
  type RevokeX509SVIDRequest,
  RevokeX509SVIDResponse,
} from '../gen/signet/revocation/v1/revocation.ts';
import type { IssuedSvid, IssuedTarget } from '../issuance/find-issued.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import { REVOCATION_REASONS, type Revocation, reasonOfNumber } from '../rules/revocation.ts';
import { serialToHexForms } from '../x509/serial.ts';
import { fitAnswer } from './batch.ts';
import { type ApiContext, audit, noteAct } from './context.ts';
import { fromWireId, toWireId } from './convert/ids.ts';

/** Most readings of a serial number in one request. */
const MAX_SERIALS = 16;

/** Longest serial number in decimal digits: 20 octets. */
const MAX_SERIAL_DIGITS = 49;

/** Rows of one transaction: a fleet's worth must not hold the database for long. */
const CHUNK = 2000;

/** Most revoked SVIDs on one page of a list. */
const MAX_PAGE = 10_000;

/** Most revoked SVIDs that the answer names. */
const MAX_ANSWERED = 1000;

/** `signet.revocation.v1.Revocation`: takes X.509-SVIDs back before they end. */
export function createRevocationService(api: ApiContext): Handlers<RevocationService> {
  return {
    revokeX509Svid: (request, context) => revoke(api, request, context),
    listRevokedX509SviDs: (request) => list(api, request),
  };
}

/** A page of what is revoked, by serial number; a token is the last one of the page before. */
function list(
  { registry }: ApiContext,
  { pageSize, pageToken }: ListRevokedX509SVIDsRequest,
): Result<Encoded> {
  const size = pageSize > 0 ? Math.min(pageSize, MAX_PAGE) : MAX_PAGE;
  if (!/^\d{0,49}$/.test(pageToken)) return fail('PAGE_TOKEN', 'page_token is none of this list');
  const left = [...registry.revocations()]
    .filter(({ serial }) => comesAfter(serial, pageToken))
    .toSorted((a, b) => (comesAfter(a.serial, b.serial) ? 1 : -1));
  const page = left.slice(0, size);
  const nextPageToken = left.length > size ? (page.at(-1)?.serial ?? '') : '';
  return fitAnswer(ListRevokedX509SVIDsResponse, { revoked: page.map(toWire), nextPageToken });
}

/** Whether a serial number is the greater one; both decimal, without leading zeros. */
function comesAfter(serial: string, other: string): boolean {
  return serial.length === other.length ? serial > other : serial.length > other.length;
}

/**
 * Finds in the ledger what the target names and is alive, writes it down as revoked and answers when
 * that is durable and every stream of this server was woken. The act itself is recorded afterwards:
 * a full disk must not keep an SVID in force.
 */
async function revoke(
  api: ApiContext,
  request: RevokeX509SVIDRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  const target = readTarget(request);
  if (!target.ok) return target;
  const reason = reasonOfNumber(request.reason);
  if (reason === undefined) return fail('FIELD_INVALID', 'reason is none that fits an SVID');
  const live = await findLive(api, target.value);
  if (!live.ok) return live;
  const fresh = live.value.filter(({ serial }) => api.registry.revocation(serial) === undefined);
  const revokedAtSeconds = Math.floor(api.clock.nowMs() / 1000);
  const issuers = await issuerNames(api, fresh);
  const revocations = fresh.map((svid): Revocation => {
    const issuerDer = issuers.get(svid.authorityId);
    return { ...svid, issuerDer, reason, revokedAtSeconds };
  });
  const written = await writeDown(api, revocations);
  if (!written.ok) return written;
  const added = new Set(written.value);
  const done = revocations.filter(({ serial }) => added.has(serial));
  audit(api, context, { ...target.value, reason, count: done.length });
  await Promise.all(done.map((revocation) => noteRevocation(api, context, revocation)));
  return fitAnswer(RevokeX509SVIDResponse, {
    count: done.length,
    alreadyRevoked: live.value.length - done.length,
    revoked: done.slice(0, MAX_ANSWERED).map(toWire),
  });
}

function readTarget({ target }: RevokeX509SVIDRequest): Result<IssuedTarget> {
  switch (target?.$case) {
    case 'serialNumbers':
      return readSerials(target.value.values);
    case 'spiffeId': {
      const id = fromWireId(target.value, 'spiffe_id');
      return id.ok ? ok({ spiffeId: id.value.uri }) : id;
    }
    case 'agentId': {
      const id = fromWireId(target.value, 'agent_id');
      return id.ok ? ok({ agentId: id.value.uri }) : id;
    }
    case undefined:
      return fail('FIELD_MISSING', 'one of serial_numbers, spiffe_id and agent_id is required');
  }
}

function readSerials(values: readonly string[]): Result<IssuedTarget> {
  if (values.length === 0 || values.length > MAX_SERIALS) {
    return fail('FIELD_INVALID', `serial_numbers has ${values.length} values`);
  }
  const serials: string[] = [];
  for (const value of values) {
    if (!/^\d+$/.test(value) || value.length > MAX_SERIAL_DIGITS) {
      return fail('FIELD_INVALID', 'serial_numbers holds something else than decimal numbers');
    }
    serials.push(...serialToHexForms(value));
  }
  return ok({ serials });
}

/** The SVIDs that the target names and that have not ended. */
async function findLive(
  { findIssued, registry, clock }: ApiContext,
  target: IssuedTarget,
): Promise<Result<readonly IssuedSvid[]>> {
  if (findIssued === undefined) {
    return fail('REVOCATION_NEEDS_LEDGER', 'the issuance ledger is turned off');
  }
  // An SVID ends with its authority at the latest: older records can only be of what has ended.
  const begins = registry.bundle?.x509Authorities.map(({ certificate }) => certificate.notBeforeMs);
  const found = await findIssued(target, Math.min(...(begins ?? [0])));
  if (!found.ok) return found;
  const nowSeconds = clock.nowMs() / 1000;
  const live = found.value.filter(({ notAfterSeconds }) => notAfterSeconds >= nowSeconds);
  if (live.length > 0) return ok(live);
  return fail(
    'REVOCATION_NOT_FOUND',
    found.value.length === 0
      ? 'the ledger of this server has no such X.509-SVID'
      : `${found.value.length} X.509-SVIDs match, and all of them have ended`,
  );
}

async function writeDown(
  { registry }: ApiContext,
  revocations: readonly Revocation[],
): Promise<Result<readonly string[]>> {
  const added: string[] = [];
  for (let at = 0; at < revocations.length; at += CHUNK) {
    const written = await registry.revoke(revocations.slice(at, at + CHUNK));
    if (!written.ok) return written;
    for (const serial of written.value) added.push(serial);
  }
  return ok(added);
}

/** What a CRL will call the authorities; one that is found nowhere keeps nothing from being revoked. */
async function issuerNames(
  { findIssuerName, log }: ApiContext,
  svids: readonly IssuedSvid[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const names = new Map<string, Uint8Array>();
  for (const authorityId of new Set(svids.map((svid) => svid.authorityId))) {
    const name = await findIssuerName?.(authorityId);
    if (name === undefined) log.warn({ authorityId }, 'no CRL can name this authority');
    else names.set(authorityId, name);
  }
  return names;
}

function noteRevocation(
  api: ApiContext,
  context: CallContext,
  { serial, spiffeId, authorityId }: Revocation,
): Promise<void> {
  const [hex] = serialToHexForms(serial);
  return noteAct(api, context, {
    act: 'revoke',
    spiffeId: spiffeId.uri,
    authorityId,
    ...(hex === undefined ? {} : { serial: hex }),
  });
}

function toWire(revocation: Revocation): RevokedX509SVID {
  const { agentId } = revocation;
  return {
    serialNumber: revocation.serial,
    id: toWireId(revocation.spiffeId),
    agentId: agentId === undefined ? undefined : toWireId(agentId),
    expiresAt: BigInt(revocation.notAfterSeconds),
    revokedAt: BigInt(revocation.revokedAtSeconds),
    reason: REVOCATION_REASONS[revocation.reason],
  };
}
