import type {
  EntrySource,
  ExplainPodResponse,
  RuleRef,
  RuleVerdict,
} from '../gen/signet/rule/v1/rule.ts';
import { formatBlock } from './text.ts';
import { wireIdText } from './wire.ts';

/** What rules make of a pod, for people: what is in force first. */
export function formatExplanation(answer: ExplainPodResponse): string {
  const { cluster, namespace, name, uid, nodeName, rules, leftOut } = answer;
  const head = formatBlock([
    ['Pod', `${namespace}/${name}`],
    ['Cluster', cluster],
    ['UID', uid],
    ['Node', nodeName === '' ? 'not scheduled yet' : nodeName],
  ]);
  if (rules.length === 0) return `${head}\nThe cluster has no rules.\n`;
  const more = leftOut === 0 ? [] : [`${leftOut} more rules are not about the pod.\n`];
  return [head, ...rules.map(formatVerdict), ...more].join('\n');
}

function formatVerdict({ rule, verdict, reason, entry, obstacles }: RuleVerdict): string {
  const lines: [string, string | readonly string[]][] = [
    ['Rule', refText(rule)],
    ['Verdict', verdict],
    ['Why', reason === '' ? [] : reason],
  ];
  if (entry !== undefined) {
    lines.push(
      ['SPIFFE ID', wireIdText(entry.spiffeId)],
      ['Parent ID', wireIdText(entry.parentId)],
      ['Selector', entry.selectors.map(({ type, value }) => `${type}:${value}`)],
      ['DNS name', entry.dnsNames],
      ['Entry ID', entry.id],
    );
  }
  lines.push(['But', obstacles]);
  return formatBlock(lines);
}

/** Where an entry comes from, in one line. */
export function sourceText({ rule, pod }: EntrySource): string {
  return pod === '' ? refText(rule) : `${refText(rule)}, pod ${pod}`;
}

function refText(rule: RuleRef | undefined): string {
  const { kind = '', namespace = '', name = '' } = rule ?? {};
  return namespace === '' ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}
