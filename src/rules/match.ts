import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { AgentRecord, Entry } from './entry.ts';
import type { Selector } from './selector.ts';

/**
 * How a set of a candidate must relate to the set asked for: the same; a non-empty part of it; all of
 * it and maybe more; at least one of it.
 */
export type SetMatch = 'exact' | 'subset' | 'superset' | 'any';

/** Which entries a list holds; what is left out does not restrict. */
export interface EntryFilter {
  readonly spiffeId?: SpiffeId | undefined;
  readonly parentId?: SpiffeId | undefined;
  readonly selectors?:
    | { readonly match: SetMatch; readonly values: readonly Selector[] }
    | undefined;
  readonly federatesWith?:
    | { readonly match: SetMatch; readonly values: readonly TrustDomain[] }
    | undefined;
  readonly hint?: string | undefined;
  readonly downstream?: boolean | undefined;
}

/** Which agents a list holds; what is left out does not restrict. */
export interface AgentFilter {
  readonly attestationType?: string | undefined;
  readonly selectors?:
    | { readonly match: SetMatch; readonly values: readonly Selector[] }
    | undefined;
  readonly banned?: boolean | undefined;
  readonly canReattest?: boolean | undefined;
  /** Unix seconds; agents whose SVID ends before it. */
  readonly expiresBeforeSeconds?: number | undefined;
}

/** Whether a candidate's set relates to the one asked for as `match` says. */
export function matchesSet(
  match: SetMatch,
  asked: ReadonlySet<string>,
  candidate: readonly string[],
): boolean {
  const shared = candidate.reduce((count, text) => count + (asked.has(text) ? 1 : 0), 0);
  switch (match) {
    case 'exact':
      return shared === candidate.length && shared === asked.size;
    case 'subset':
      return shared === candidate.length && shared > 0;
    case 'superset':
      return shared === asked.size;
    case 'any':
      return shared > 0;
  }
}

/** A test for entries, made once for a whole list. */
export function entryMatcher(filter: EntryFilter): (entry: Entry) => boolean {
  const { spiffeId, parentId, selectors, federatesWith, hint, downstream } = filter;
  const selectorTexts = new Set(selectors?.values.map((selector) => selector.text));
  const domains = new Set(federatesWith?.values.map((domain) => domain.name));
  return (entry) =>
    (spiffeId === undefined || entry.spiffeId.uri === spiffeId.uri) &&
    (parentId === undefined || entry.parentId.uri === parentId.uri) &&
    (hint === undefined || entry.hint === hint) &&
    (downstream === undefined || entry.downstream === downstream) &&
    (selectors === undefined ||
      matchesSet(selectors.match, selectorTexts, textsOf(entry.selectors))) &&
    (federatesWith === undefined ||
      matchesSet(
        federatesWith.match,
        domains,
        entry.federatesWith.map((domain) => domain.name),
      ));
}

/** A test for agents, made once for a whole list. */
export function agentMatcher(filter: AgentFilter): (agent: AgentRecord) => boolean {
  const { attestationType, selectors, banned, canReattest, expiresBeforeSeconds } = filter;
  const selectorTexts = new Set(selectors?.values.map((selector) => selector.text));
  return (agent) =>
    (attestationType === undefined || agent.attestationType === attestationType) &&
    (banned === undefined || agent.banned === banned) &&
    (canReattest === undefined || agent.canReattest === canReattest) &&
    (expiresBeforeSeconds === undefined || agent.expiresAtSeconds < expiresBeforeSeconds) &&
    (selectors === undefined ||
      matchesSet(selectors.match, selectorTexts, textsOf(agent.selectors)));
}

function textsOf(selectors: readonly Selector[]): readonly string[] {
  return selectors.map((selector) => selector.text);
}
