import type { LabelSelector } from './label-selector.ts';
import type { KubeNamespace, KubePod } from './objects.ts';
import type { PodRule } from './pod-rule.ts';

/** The label by which Kubernetes names every namespace. */
const NAME_LABEL = 'kubernetes.io/metadata.name';

/** Where rules hang that may be about any pod. */
export const ANY_POD = '*';

/** Most anchors of one rule; one that would need more is about any pod. */
const MAX_ANCHORS = 16;

/**
 * Something that every pod of a rule has: its namespace, a label of that or a label of its own. So that
 * with ten thousand rules a pod meets only those that can be about it, and a rule its pods.
 */
export function anchorsOfRule(rule: PodRule): readonly string[] {
  if (rule.origin.kind === 'WorkloadIdentity') return [namespaceAnchor(rule.origin.namespace)];
  const byName = rule.namespaceSelector.filter(({ key }) => key === NAME_LABEL);
  return (
    anchors(byName, namespaceLabelAnchor) ?? anchors(rule.podSelector, podLabelAnchor) ?? [ANY_POD]
  );
}

/** The anchors at which a pod finds the rules that can be about it. */
export function anchorsOfPod(
  { namespace, labels }: KubePod,
  known: KubeNamespace | undefined,
): readonly string[] {
  const name = known?.labels[NAME_LABEL];
  return [
    ANY_POD,
    namespaceAnchor(namespace),
    ...(name === undefined ? [] : [namespaceLabelAnchor(NAME_LABEL, name)]),
    ...Object.entries(labels).map(([key, value]) => podLabelAnchor(key, value)),
  ];
}

function anchors(
  selector: LabelSelector,
  anchor: (key: string, value: string) => string,
): readonly string[] | undefined {
  for (const requirement of selector) {
    if (requirement.operator !== 'In' || requirement.values.length > MAX_ANCHORS) continue;
    return [...new Set(requirement.values)].map((value) => anchor(requirement.key, value));
  }
  return undefined;
}

function namespaceAnchor(name: string): string {
  return `in:${name}`;
}

function namespaceLabelAnchor(_key: string, value: string): string {
  return `named:${value}`;
}

function podLabelAnchor(key: string, value: string): string {
  return `${key}=${value}`;
}
