import { MultiMap } from '../../base/multi-map.ts';
import type { Result } from '../../base/result.ts';
import type { EntryDraft } from '../entry.ts';
import { anchorsOfRule } from './anchors.ts';
import type { Claim, ClaimCounts } from './claims.ts';
import type { PodRule, RuleOrigin } from './pod-rule.ts';

/** A rule as it was read; one that cannot be read is kept, so that its status can say so. */
export type KnownRule =
  | { readonly kind: 'pods'; readonly origin: RuleOrigin; readonly parsed: Result<PodRule> }
  | { readonly kind: 'static'; readonly origin: RuleOrigin; readonly parsed: Result<EntryDraft> }
  /** Of a class that another server acts on. */
  | { readonly kind: 'other-class'; readonly origin: RuleOrigin; readonly className: string };

/** A rule with what it does. */
export interface RuleState {
  readonly known: KnownRule;
  readonly counts: ClaimCounts & { selected: number; failed: number };
  /** What went wrong with the pod that the rule failed on last. */
  failure: string | undefined;
  /** The entry of a rule that needs no pods. */
  claim: Claim | undefined;
}

/** The rules of a cluster, by UID and by what they are about. */
export class RuleTable {
  readonly #rules = new Map<string, RuleState>();
  readonly #by = new MultiMap<RuleState>();

  all(): Iterable<RuleState> {
    return this.#rules.values();
  }

  get(uid: string): RuleState | undefined {
    return this.#rules.get(uid);
  }

  /** Rules that can be about something with these anchors, each once. */
  *at(anchors: readonly string[]): Generator<RuleState> {
    const seen = new Set<RuleState>();
    for (const anchor of anchors) {
      for (const rule of this.#by.get(anchor)) {
        if (seen.has(rule)) continue;
        seen.add(rule);
        yield rule;
      }
    }
  }

  /** Adds a rule; its UID must be free. */
  add(known: KnownRule): RuleState {
    const counts = { set: 0, masked: 0, selected: 0, failed: 0 };
    const state: RuleState = { known, counts, failure: undefined, claim: undefined };
    this.#rules.set(known.origin.uid, state);
    for (const anchor of anchorsOf(known)) this.#by.add(anchor, state);
    return state;
  }

  /** Takes a rule out; undefined where there is none. */
  delete(uid: string): RuleState | undefined {
    const state = this.#rules.get(uid);
    if (state === undefined) return undefined;
    this.#rules.delete(uid);
    for (const anchor of anchorsOf(state.known)) this.#by.remove(anchor, state);
    return state;
  }
}

/** Where a rule finds its pods. */
export function anchorsOf(known: KnownRule): readonly string[] {
  return known.kind === 'pods' && known.parsed.ok ? anchorsOfRule(known.parsed.value) : [];
}
