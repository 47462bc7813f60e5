import type { Entry } from '../entry.ts';
import type { Claims } from './claims.ts';
import type { Verdict } from './judge.ts';
import { judgePod } from './judge.ts';
import type { KubePod } from './objects.ts';
import { type RuleOrigin, ruleName } from './pod-rule.ts';
import type { PodState } from './pod-table.ts';
import type { ClusterFacts } from './render.ts';
import type { RuleState } from './rule-table.ts';
import type { Surroundings } from './surroundings.ts';

/** How a rule stands with one pod. */
export type RuleVerdict =
  | Exclude<Verdict, { readonly kind: 'entry' }>
  | { readonly kind: 'in-force'; readonly entry: Entry }
  /** An older rule gives the same entry. */
  | { readonly kind: 'masked'; readonly entry: Entry; readonly by: RuleOrigin }
  /** A fallback, and another rule gives the pod an entry. */
  | { readonly kind: 'not-needed'; readonly by: RuleOrigin }
  | { readonly kind: 'other-class'; readonly className: string }
  /** The rule cannot be read. */
  | { readonly kind: 'invalid'; readonly why: string };

/** One rule and one pod. */
export interface Explanation {
  readonly rule: RuleOrigin;
  readonly verdict: RuleVerdict;
}

/** All rules and one pod. */
export interface PodExplanation {
  readonly pod: KubePod;
  readonly rules: readonly Explanation[];
}

/** What an explanation is read from. */
export interface ExplainParts {
  readonly rules: Iterable<RuleState>;
  readonly claims: Claims;
  readonly surroundings: Surroundings;
  readonly cluster: ClusterFacts;
}

const RANKS: readonly RuleVerdict['kind'][] = [
  'in-force',
  'masked',
  'not-needed',
  'failed',
  'invalid',
  'waiting',
  'ignored',
  'not-selected',
  'other-class',
];

/** How every rule that is about pods stands with one: what is in force first, then what went wrong. */
export function explainPod(state: PodState, parts: ExplainParts): PodExplanation {
  const rules: Explanation[] = [];
  for (const rule of parts.rules) {
    if (rule.known.kind === 'static') continue;
    rules.push({ rule: rule.known.origin, verdict: verdictOf(rule, state, parts) });
  }
  const rank = ({ verdict }: Explanation): number => RANKS.indexOf(verdict.kind);
  rules.sort((a, b) => rank(a) - rank(b) || compareNames(a.rule, b.rule));
  return { pod: state.pod, rules };
}

function verdictOf(rule: RuleState, state: PodState, parts: ExplainParts): RuleVerdict {
  const { known } = rule;
  if (known.kind === 'other-class') {
    return { kind: 'other-class', className: known.className };
  }
  if (!known.parsed.ok) return { kind: 'invalid', why: known.parsed.error.message };
  if (known.kind === 'static') return { kind: 'not-selected', why: 'it is not about pods' };
  const claim = state.outcomes.find((outcome) => outcome.rule === rule)?.claim;
  if (claim !== undefined) {
    const { entry } = claim;
    const winner = parts.claims.winner(entry.id);
    return winner === undefined || winner === claim
      ? { kind: 'in-force', entry }
      : { kind: 'masked', entry, by: winner.source.rule };
  }
  const subject = parts.surroundings.subject(state.pod);
  const verdict = judgePod(known.parsed.value, subject, parts.cluster);
  if (verdict.kind !== 'entry') return verdict;
  const other = state.outcomes.find((outcome) => outcome.claim !== undefined);
  if (other !== undefined && known.parsed.value.fallback) {
    return { kind: 'not-needed', by: other.rule.known.origin };
  }
  return { kind: 'waiting', why: 'its entry is being made' };
}

function compareNames(a: RuleOrigin, b: RuleOrigin): number {
  return ruleName(a) < ruleName(b) ? -1 : 1;
}
