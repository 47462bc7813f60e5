import { hash } from 'node:crypto';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Entry, EntryDraft } from '../../rules/entry.ts';
import type { Selector } from '../../rules/selector.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { EntryBody } from './entry-body.ts';
import type { Interner } from './interner.ts';
import { type EntryDraftRow, type EntryRow, entryChecksum } from './rows.ts';

const ADMIN = 1;
const DOWNSTREAM = 2;
const STORE_SVID = 4;
const NO_PREFETCH = 8;
const JWT_JTI = 16;

/** Encodes a draft. */
export function encodeDraft(draft: EntryDraft): EntryDraftRow {
  const body: EntryBody = [
    draft.selectors.map(({ type, value }) => [type, value] as const),
    draft.x509SvidTtlSeconds,
    draft.jwtSvidTtlSeconds,
    draft.federatesWith.map(({ name }) => name),
    flagsOf(draft),
    draft.dnsNames,
    draft.hint,
  ];
  return {
    spiffeId: draft.spiffeId.uri,
    parentId: draft.parentId.uri,
    identity: identityOf(draft),
    expiresAt: draft.expiresAtSeconds,
    body: JSON.stringify(body),
  };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeEntry(row: EntryRow, intern: Interner): Result<Entry> {
  if (row.checksum !== entryChecksum(row)) return damaged(row.id, 'checksum differs');
  // The checksum vouches that this program wrote it, in this shape and from checked values.
  const body = JSON.parse(row.body) as EntryBody;
  const spiffeId = intern.newSpiffeId(row.spiffeId);
  const parentId = intern.spiffeId(row.parentId);
  if (!spiffeId.ok || !parentId.ok) return damaged(row.id, 'SPIFFE ID is malformed');
  const selectors: Selector[] = [];
  for (const [type, value] of body[0]) {
    const selector = intern.selector(type, value);
    if (!selector.ok) return damaged(row.id, 'selector is malformed');
    selectors.push(selector.value);
  }
  const federatesWith: TrustDomain[] = [];
  for (const name of body[3]) {
    const domain = intern.trustDomain(name);
    if (!domain.ok) return damaged(row.id, 'trust domain is malformed');
    federatesWith.push(domain.value);
  }
  const flags = body[4];
  return ok({
    id: row.id,
    revision: row.revision === 0 ? 0n : BigInt(row.revision),
    createdAtSeconds: row.createdAt,
    spiffeId: spiffeId.value,
    parentId: parentId.value,
    selectors,
    x509SvidTtlSeconds: body[1],
    jwtSvidTtlSeconds: body[2],
    federatesWith: orEmpty(federatesWith),
    admin: (flags & ADMIN) !== 0,
    downstream: (flags & DOWNSTREAM) !== 0,
    expiresAtSeconds: row.expiresAt,
    dnsNames: orEmpty(body[5]),
    storeSvid: (flags & STORE_SVID) !== 0,
    hint: body[6],
    disableX509SvidPrefetch: (flags & NO_PREFETCH) !== 0,
    jwtSvidIncludeJti: (flags & JWT_JTI) !== 0,
  });
}

/** Hash of what makes two entries the same; NUL cannot stand in any part. */
function identityOf(draft: EntryDraft): Uint8Array {
  const selectors = draft.selectors.map(({ text }) => text).sort();
  const parts = [draft.parentId.uri, draft.spiffeId.uri, ...selectors];
  return hash('sha256', parts.join('\0'), 'buffer');
}

function flagsOf(draft: EntryDraft): number {
  return (
    (draft.admin ? ADMIN : 0) |
    (draft.downstream ? DOWNSTREAM : 0) |
    (draft.storeSvid ? STORE_SVID : 0) |
    (draft.disableX509SvidPrefetch ? NO_PREFETCH : 0) |
    (draft.jwtSvidIncludeJti ? JWT_JTI : 0)
  );
}

const EMPTY: readonly never[] = Object.freeze([]);

/** Most entries have none of it: one array for all of them. */
function orEmpty<T>(values: readonly T[]): readonly T[] {
  return values.length === 0 ? EMPTY : values;
}

function damaged(id: string, why: string): Result<never> {
  return fail('STORE_CORRUPT', `entry ${id} is damaged: ${why}`);
}
