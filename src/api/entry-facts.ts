import { fail, ok, type Result } from '../base/result.ts';
import type { Entry, EntryDraft } from '../rules/entry.ts';
import { checkOutsideConnectors } from '../rules/entry-draft.ts';
import { ruleName } from '../rules/kube/pod-rule.ts';
import type { UnfederatedEntry } from '../store/store.ts';
import type { ApiContext } from './context.ts';

/** What the audit says of an entry. Selectors stay out: they may say more of a workload than a log should. */
export function entryFacts(entry: Entry): Readonly<Record<string, unknown>> {
  return {
    entryId: entry.id,
    entryRevision: String(entry.revision),
    spiffeId: entry.spiffeId.uri,
    parentId: entry.parentId.uri,
    ...(entry.admin ? { admin: true } : {}),
    ...(entry.downstream ? { downstream: true } : {}),
  };
}

/** The ID of an entry that operators may change: derived ones follow their rule alone. */
export function refuseDerived(
  { registry }: Pick<ApiContext, 'registry'>,
  id: string,
): Result<string> {
  const source = registry.derived.sourceOf(id);
  if (source === undefined) return ok(id);
  return fail('ENTRY_DERIVED', `entry ${id} is derived from ${ruleName(source.rule)}`);
}

/** An entry whose SPIFFE ID is not in the area of connectors, where those are served. */
export function refuseConnectorId(
  { connectors }: Pick<ApiContext, 'connectors'>,
  draft: EntryDraft,
): Result<EntryDraft> {
  return connectors === undefined ? ok(draft) : checkOutsideConnectors(draft);
}

/** The refusal of an entry that federates with a trust domain whose bundle is not here. */
export function unfederated({ trustDomain }: UnfederatedEntry): ReturnType<typeof fail> {
  const remedy = 'bring it by "signet bundle set" or "signet federation create"';
  return fail(
    'ENTRY_FEDERATES_UNKNOWN',
    `there is no bundle of trust domain ${trustDomain}; ${remedy}`,
  );
}
