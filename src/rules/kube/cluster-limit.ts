import { fail, ok, type Result } from '../../base/result.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { EntryDraft } from '../entry.ts';
import { checkOutsideConnectors } from '../entry-draft.ts';

/** What the rules of one cluster may give, where several share a server. */
export interface ClusterLimit {
  readonly clusterName: string;
  /** Paths below which their SPIFFE IDs have to lie; anywhere where there are none. */
  readonly pathPrefixes: readonly string[];
  /** Whether the server serves connectors: the area /connector is theirs then. */
  readonly servesConnectors?: boolean | undefined;
}

/** Whether an ID lies below one of some paths, on whole segments: /a does not cover /ab, nor itself. */
export function liesBelow({ path }: SpiffeId, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path.startsWith(`${prefix}/`));
}

/**
 * Whether a cluster may have the entry that one of its rules gives. An entry with `admin` could make any
 * other, one with `downstream` sign any: a limited cluster has neither. Fails with RULE_LIMIT and
 * ENTRY_SPIFFE_ID.
 */
export function checkClusterLimit(draft: EntryDraft, limit: ClusterLimit): Result<void> {
  const { clusterName, pathPrefixes, servesConnectors } = limit;
  const outside = servesConnectors === true ? checkOutsideConnectors(draft) : ok(draft);
  if (!outside.ok) return outside;
  if (pathPrefixes.length === 0) return ok(undefined);
  if (!liesBelow(draft.spiffeId, pathPrefixes)) {
    const allowed = pathPrefixes.join(', ');
    const what = `${draft.spiffeId.uri}: rules of cluster ${clusterName} may give ${allowed} alone`;
    return fail('RULE_LIMIT', what);
  }
  if (!draft.admin && !draft.downstream) return ok(undefined);
  const flag = draft.admin ? 'admin' : 'downstream';
  return fail('RULE_LIMIT', `rules of cluster ${clusterName} may not say ${flag}`);
}

/**
 * Whether a limited cluster may write an entry for a parent: nodes of other clusters are not its own, and
 * would serve it. Fails with RULE_LIMIT.
 */
export function checkParentLimit({ parentId }: EntryDraft, limit: ClusterLimit): Result<void> {
  const { clusterName, pathPrefixes } = limit;
  if (pathPrefixes.length === 0) return ok(undefined);
  const own = [...pathPrefixes, `/spire/agent/k8s_psat/${clusterName}`];
  if (liesBelow(parentId, own)) return ok(undefined);
  const what = `parent ${parentId.uri}: rules of cluster ${clusterName} have parents below`;
  return fail('RULE_LIMIT', `${what} ${own.join(', ')} alone`);
}
