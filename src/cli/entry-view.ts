import { Entry } from '../gen/spire/api/types/entry.ts';
import type { CliIo } from './spec.ts';
import { formatBlock, formatTime } from './text.ts';
import { wireIdText } from './wire.ts';

/**
 * An entry for people: one field a line, absent ones left out.
 *
 * @param derivedFrom The rule that it follows; undefined for stored entries.
 */
export function formatEntry(entry: Entry, io: CliIo, derivedFrom?: string): string {
  const seconds = (ttl: number): string => (ttl === 0 ? 'default' : `${ttl}s`);
  const time = (at: bigint): string => formatTime(Number(at), io.clock.nowMs());
  const attributes = entry.additionalAttributes;
  return formatBlock([
    ['Entry ID', entry.id],
    ['Derived from', derivedFrom ?? []],
    ['SPIFFE ID', wireIdText(entry.spiffeId)],
    ['Parent ID', wireIdText(entry.parentId)],
    ['Selector', entry.selectors.map(({ type, value }) => `${type}:${value}`)],
    ['X509-SVID TTL', seconds(entry.x509SvidTtl)],
    ['JWT-SVID TTL', seconds(entry.jwtSvidTtl)],
    ['DNS name', entry.dnsNames],
    ['Federates with', entry.federatesWith],
    ['Hint', entry.hint === '' ? [] : entry.hint],
    ['Admin', entry.admin ? 'yes' : []],
    ['Downstream', entry.downstream ? 'yes' : []],
    ['Store SVID', entry.storeSvid ? 'yes' : []],
    ['X509 prefetch', attributes?.disableX509SvidPrefetch === true ? 'off' : []],
    ['JWT ID claim', attributes?.jwtSvidIncludeJti === true ? 'yes' : []],
    ['Expires', entry.expiresAt === 0n ? [] : time(entry.expiresAt)],
    ['Created', entry.createdAt === 0n ? [] : time(entry.createdAt)],
    ['Revision', String(entry.revisionNumber)],
  ]);
}

/** An entry with every field at its default. */
export function emptyEntry(): Entry {
  return Entry.fromJSON({});
}
