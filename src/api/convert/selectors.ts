import { fail, ok, type Result } from '../../base/result.ts';
import type {
  Selector as WireSelector,
  SelectorMatch as WireSelectorMatch,
} from '../../gen/spire/api/types/selector.ts';
import { MAX_ENTRY_SELECTORS } from '../../rules/entry-draft.ts';
import type { SetMatch } from '../../rules/match.ts';
import { makeSelector, type Selector } from '../../rules/selector.ts';
import { inField } from './ids.ts';

/** Numbers of the match enumerations on the wire (`SelectorMatch`, `FederatesWithMatch`). */
const SET_MATCHES: readonly SetMatch[] = ['exact', 'subset', 'superset', 'any'];

/** Selectors in their wire form. */
export function toWireSelectors(selectors: readonly Selector[]): WireSelector[] {
  return selectors.map(({ type, value }) => ({ type, value }));
}

/** Selectors of a filter, at most as many as an entry may have. */
function fromWireSelectors(
  messages: readonly WireSelector[],
  field: string,
): Result<readonly Selector[]> {
  if (messages.length > MAX_ENTRY_SELECTORS) {
    return fail(
      'FIELD_INVALID',
      `${field} holds ${messages.length} selectors, at most ${MAX_ENTRY_SELECTORS} are allowed`,
    );
  }
  const selectors: Selector[] = [];
  for (const { type, value } of messages) {
    const selector = makeSelector(type, value);
    if (!selector.ok) return inField(selector.error, field);
    selectors.push(selector.value);
  }
  return ok(selectors);
}

/** The relation that a match number stands for. */
export function fromWireMatch(match: number, field: string): Result<SetMatch> {
  const name = SET_MATCHES[match];
  if (name === undefined) return fail('FIELD_INVALID', `${field}: match ${match} is not defined`);
  return ok(name);
}

/** A filter by selectors; an empty one is refused, since it would mean nothing. */
export function fromWireSelectorMatch(
  message: WireSelectorMatch | undefined,
  field: string,
): Result<{ readonly match: SetMatch; readonly values: readonly Selector[] } | undefined> {
  if (message === undefined) return ok(undefined);
  if (message.selectors.length === 0) return fail('FIELD_MISSING', `${field} has no selectors`);
  const values = fromWireSelectors(message.selectors, field);
  if (!values.ok) return values;
  const match = fromWireMatch(message.match, field);
  if (!match.ok) return match;
  return ok({ match: match.value, values: values.value });
}
