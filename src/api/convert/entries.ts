import { fail, ok, type Result } from '../../base/result.ts';
import type {
  CountEntriesRequest_Filter,
  ListEntriesRequest_Filter,
} from '../../gen/spire/api/server/entry/v1/entry.ts';
import type { Entry as WireEntry } from '../../gen/spire/api/types/entry.ts';
import type { FederatesWithMatch } from '../../gen/spire/api/types/federateswith.ts';
import type { Entry, EntryDraft } from '../../rules/entry.ts';
import { checkEntryDraft, MAX_FEDERATES_WITH } from '../../rules/entry-draft.ts';
import type { EntryFilter, SetMatch } from '../../rules/match.ts';
import { parseTrustDomain, type TrustDomain } from '../../spiffe/trust-domain.ts';
import { fromWireId, inField, toWireId } from './ids.ts';
import { fromWireMatch, fromWireSelectorMatch, toWireSelectors } from './selectors.ts';

/** An entry in its wire form, whole. */
export function toWireEntry(entry: Entry): WireEntry {
  return {
    id: entry.id,
    spiffeId: toWireId(entry.spiffeId),
    parentId: toWireId(entry.parentId),
    selectors: toWireSelectors(entry.selectors),
    x509SvidTtl: entry.x509SvidTtlSeconds,
    federatesWith: entry.federatesWith.map((domain) => domain.name),
    admin: entry.admin,
    downstream: entry.downstream,
    expiresAt: BigInt(entry.expiresAtSeconds),
    dnsNames: [...entry.dnsNames],
    revisionNumber: entry.revision,
    storeSvid: entry.storeSvid,
    jwtSvidTtl: entry.jwtSvidTtlSeconds,
    hint: entry.hint,
    createdAt: BigInt(entry.createdAtSeconds),
    additionalAttributes:
      entry.disableX509SvidPrefetch || entry.jwtSvidIncludeJti
        ? {
            disableX509SvidPrefetch: entry.disableX509SvidPrefetch,
            jwtSvidIncludeJti: entry.jwtSvidIncludeJti,
          }
        : undefined,
  };
}

/** What an operator states about an entry, from its wire form, checked by the rules of registration. */
export function fromWireEntry(message: WireEntry, trustDomain: TrustDomain): Result<EntryDraft> {
  return checkEntryDraft(
    {
      spiffeId: message.spiffeId,
      parentId: message.parentId,
      selectors: message.selectors,
      x509SvidTtlSeconds: message.x509SvidTtl,
      jwtSvidTtlSeconds: message.jwtSvidTtl,
      federatesWith: message.federatesWith,
      admin: message.admin,
      downstream: message.downstream,
      expiresAtSeconds: message.expiresAt,
      dnsNames: message.dnsNames,
      storeSvid: message.storeSvid,
      hint: message.hint,
      disableX509SvidPrefetch: message.additionalAttributes?.disableX509SvidPrefetch ?? false,
      jwtSvidIncludeJti: message.additionalAttributes?.jwtSvidIncludeJti ?? false,
    },
    trustDomain,
  );
}

/** No less than the bytes that an entry takes on the wire, and not much more. */
export function entrySizeBound(entry: Entry): number {
  const text = (value: string): number => Buffer.byteLength(value) + 4;
  const sum = (values: readonly string[]): number =>
    values.reduce((bytes, value) => bytes + text(value), 0);
  return (
    128 +
    text(entry.id) +
    text(entry.spiffeId.uri) +
    text(entry.parentId.uri) +
    text(entry.hint) +
    entry.selectors.reduce((bytes, selector) => bytes + 8 + text(selector.text), 0) +
    sum(entry.dnsNames) +
    entry.federatesWith.reduce((bytes, domain) => bytes + text(domain.name), 0)
  );
}

/** A filter of ListEntries and CountEntries. */
export function fromWireEntryFilter(
  message: ListEntriesRequest_Filter | CountEntriesRequest_Filter | undefined,
): Result<EntryFilter> {
  if (message === undefined) return ok({});
  const spiffeId =
    message.bySpiffeId === undefined
      ? ok(undefined)
      : fromWireId(message.bySpiffeId, 'by_spiffe_id');
  if (!spiffeId.ok) return spiffeId;
  const parentId =
    message.byParentId === undefined
      ? ok(undefined)
      : fromWireId(message.byParentId, 'by_parent_id');
  if (!parentId.ok) return parentId;
  const selectors = fromWireSelectorMatch(message.bySelectors, 'by_selectors');
  if (!selectors.ok) return selectors;
  const federatesWith = fromWireFederatesWithMatch(message.byFederatesWith);
  if (!federatesWith.ok) return federatesWith;
  return ok({
    spiffeId: spiffeId.value,
    parentId: parentId.value,
    selectors: selectors.value,
    federatesWith: federatesWith.value,
    hint: message.byHint,
    downstream: message.byDownstream,
  });
}

function fromWireTrustDomains(
  names: readonly string[],
  field: string,
): Result<readonly TrustDomain[]> {
  if (names.length > MAX_FEDERATES_WITH) {
    return fail('FIELD_INVALID', `${field} holds more than ${MAX_FEDERATES_WITH} trust domains`);
  }
  const domains: TrustDomain[] = [];
  for (const name of names) {
    const domain = parseTrustDomain(name);
    if (!domain.ok) return inField(domain.error, field);
    domains.push(domain.value);
  }
  return ok(domains);
}

function fromWireFederatesWithMatch(
  message: FederatesWithMatch | undefined,
): Result<{ readonly match: SetMatch; readonly values: readonly TrustDomain[] } | undefined> {
  if (message === undefined) return ok(undefined);
  if (message.trustDomains.length === 0) {
    return fail('FIELD_MISSING', 'by_federates_with has no trust domains');
  }
  const values = fromWireTrustDomains(message.trustDomains, 'by_federates_with');
  if (!values.ok) return values;
  const match = fromWireMatch(message.match, 'by_federates_with');
  if (!match.ok) return match;
  return ok({ match: match.value, values: values.value });
}
