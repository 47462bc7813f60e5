import type { Entry } from '../rules/entry.ts';

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
