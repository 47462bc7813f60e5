import type { Result } from '../../base/result.ts';
import { parseSpiffeId, type SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { EntryDraft } from '../entry.ts';
import { checkEntryDraft, type SpiffeIdInput } from '../entry-draft.ts';
import { FieldReader, type JsonObject } from './fields.ts';

/**
 * The entry that a ClusterStaticEntry of spire.spiffe.io/v1alpha1 states. Fails with RULE_SPEC and the
 * codes of entries.
 */
export function parseStaticEntry(spec: JsonObject, trustDomain: TrustDomain): Result<EntryDraft> {
  const fields = new FieldReader(spec);
  const texts = {
    spiffeId: fields.required('spiffeID'),
    parentId: fields.required('parentID'),
    selectors: fields.texts('selectors').map(splitSelector),
    federatesWith: fields.texts('federatesWith'),
    dnsNames: fields.texts('dnsNames'),
    hint: fields.text('hint'),
    x509SvidTtlSeconds: fields.seconds('x509SVIDTTL'),
    jwtSvidTtlSeconds: fields.seconds('jwtSVIDTTL'),
    admin: fields.flag('admin'),
    downstream: fields.flag('downstream'),
    storeSvid: fields.flag('storeSVID'),
  };
  const answered = fields.answer(texts);
  if (!answered.ok) return answered;
  const spiffeId = parseSpiffeId(texts.spiffeId);
  if (!spiffeId.ok) return spiffeId;
  const parentId = parseSpiffeId(texts.parentId);
  if (!parentId.ok) return parentId;
  return checkEntryDraft(
    {
      ...texts,
      ...NO_MORE,
      spiffeId: idInput(spiffeId.value),
      parentId: idInput(parentId.value),
    },
    trustDomain,
  );
}

/** What no rule can say of an entry. */
export const NO_MORE = {
  expiresAtSeconds: 0n,
  disableX509SvidPrefetch: false,
  jwtSvidIncludeJti: false,
} as const;

/** A SPIFFE ID in its two parts, for the checks of entries. */
export function idInput({ trustDomain, path }: SpiffeId): SpiffeIdInput {
  return { trustDomain: trustDomain.name, path };
}

/** `type:value` in its two parts; what has no colon is refused by the checks of entries. */
export function splitSelector(text: string): { readonly type: string; readonly value: string } {
  const colon = text.indexOf(':');
  return colon === -1
    ? { type: '', value: text }
    : { type: text.slice(0, colon), value: text.slice(colon + 1) };
}
