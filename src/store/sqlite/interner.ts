import type { Result } from '../../base/result.ts';
import { makeSelector, type Selector } from '../../rules/selector.ts';
import { parseSpiffeId, type SpiffeId, spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../spiffe/trust-domain.ts';

/** Most values of a kind that are remembered; beyond it remembering starts anew. */
const MAX_REMEMBERED = 20_000;

/** Gives one object for the same text, so that 100,000 entries do not hold as many equal parents. */
export interface Interner {
  spiffeId(uri: string): Result<SpiffeId>;
  /** One that seldom repeats: not remembered, but it shares its trust domain. */
  newSpiffeId(uri: string): Result<SpiffeId>;
  selector(type: string, value: string): Result<Selector>;
  trustDomain(name: string): Result<TrustDomain>;
}

/** An empty interner. */
export function createInterner(): Interner {
  const selectors = new Map<string, Result<Selector>>();
  const remembered = <T>(parse: (text: string) => Result<T>) => {
    const known = new Map<string, Result<T>>();
    return (text: string) => remember(known, text, () => parse(text));
  };
  const trustDomain = remembered(parseTrustDomain);
  return {
    spiffeId: remembered(parseSpiffeId),
    newSpiffeId(uri) {
      // Canonical text is stored, so the path begins at the first slash of the authority's end.
      const slash = uri.indexOf('/', 'spiffe://'.length);
      const domain = trustDomain(slash === -1 ? uri : uri.slice(0, slash));
      return domain.ok
        ? spiffeIdFromPath(domain.value, slash === -1 ? '' : uri.slice(slash))
        : domain;
    },
    selector: (type, value) =>
      remember(selectors, `${type}:${value}`, () => makeSelector(type, value)),
    trustDomain,
  };
}

function remember<T>(known: Map<string, T>, text: string, make: () => T): T {
  const found = known.get(text);
  if (found !== undefined) return found;
  const value = make();
  if (known.size >= MAX_REMEMBERED) known.clear();
  known.set(text, value);
  return value;
}
