import type { Selector as WireSelector } from '../gen/spire/api/types/selector.ts';
import { SelectorMatch_MatchBehavior } from '../gen/spire/api/types/selector.ts';
import type { SPIFFEID } from '../gen/spire/api/types/spiffeid.ts';
import type { Selector } from '../rules/selector.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/** A SPIFFE ID as `spire.api.types` carries it. */
export function toWireId(id: SpiffeId): SPIFFEID {
  return { trustDomain: id.trustDomain.name, path: id.path };
}

/** Text of a SPIFFE ID that came over the wire; not checked, for printing only. */
export function wireIdText(id: SPIFFEID | undefined): string {
  return id === undefined ? '' : `spiffe://${id.trustDomain}${id.path}`;
}

/** Selectors as `spire.api.types` carries them. */
export function toWireSelectors(selectors: readonly Selector[]): WireSelector[] {
  return selectors.map(({ type, value }) => ({ type, value }));
}

/** Names of the match behaviours, as flags take them. */
export const MATCH_NAMES = ['exact', 'any', 'superset', 'subset'] as const;

/** The behaviour that a name stands for: how the wanted set must lie to the entry's own. */
export function matchBehavior(name: string | undefined): SelectorMatch_MatchBehavior {
  if (name === 'exact') return SelectorMatch_MatchBehavior.MATCH_EXACT;
  if (name === 'any') return SelectorMatch_MatchBehavior.MATCH_ANY;
  if (name === 'subset') return SelectorMatch_MatchBehavior.MATCH_SUBSET;
  return SelectorMatch_MatchBehavior.MATCH_SUPERSET;
}
