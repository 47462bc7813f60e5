import { hash } from 'node:crypto';
import type { Entry, EntryDraft } from './entry.ts';
import { DERIVED_ID_PREFIX } from './entry-id.ts';
import type { RuleOrigin } from './kube/pod-rule.ts';

/** Where a derived entry comes from. */
export interface DerivedSource {
  /** Name of the cluster in the server's configuration. */
  readonly cluster: string;
  readonly rule: RuleOrigin;
  /** `namespace/name`; undefined for entries that no pod is needed for. */
  readonly pod: string | undefined;
}

/** An entry that exists in memory only, as long as what it is derived from does. */
export interface DerivedEntry {
  readonly entry: Entry;
  readonly source: DerivedSource;
}

/** What became of derived entries. */
export interface DerivedChange {
  readonly upserts: readonly DerivedEntry[];
  readonly deletedIds: readonly string[];
}

/**
 * The entry of a draft. Its ID is a hash of what makes it unique, its revision (63 bits) one of all it
 * says, so that every server derives the same. Clusters have their own, so that none takes out another's.
 */
export function deriveEntry(draft: EntryDraft, cluster: string, createdAtSeconds: number): Entry {
  const key = [cluster, ...keyOf(draft)];
  const id = DERIVED_ID_PREFIX + sha256(key).toString('hex', 0, 16);
  const revision = sha256([...key, ...restOf(draft)]).readBigUInt64BE() >> 1n;
  // 0 would say that there is none.
  return { ...draft, id, revision: revision === 0n ? 1n : revision, createdAtSeconds };
}

function keyOf({ spiffeId, parentId, selectors }: EntryDraft): readonly string[] {
  const texts = selectors.map(({ text }) => text).sort();
  return [spiffeId.uri, parentId.uri, ...texts];
}

function restOf(draft: EntryDraft): readonly string[] {
  const lists = [draft.selectors.map(({ text }) => text), draft.dnsNames];
  const domains = draft.federatesWith.map(({ name }) => name);
  return [
    ...[...lists, domains].flatMap((list) => [String(list.length), ...list]),
    ...[draft.x509SvidTtlSeconds, draft.jwtSvidTtlSeconds, draft.expiresAtSeconds].map(String),
    ...[draft.admin, draft.downstream, draft.storeSvid].map(String),
    ...[draft.disableX509SvidPrefetch, draft.jwtSvidIncludeJti].map(String),
    draft.hint,
  ];
}

/** Each text after its length, so that no two lists run together. */
function sha256(texts: readonly string[]): Buffer {
  const parts = texts.map((text) => `${Buffer.byteLength(text)}:${text}`);
  return hash('sha256', parts.join(''), 'buffer');
}
