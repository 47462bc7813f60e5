import type { SignetError } from '../../base/errors.ts';
import type { Result } from '../../base/result.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { EntryDraft } from '../entry.ts';
import type { TemplateData } from '../template/template.ts';
import { unmetRequirement } from './label-selector.ts';
import type { KubeNamespace, KubePod } from './objects.ts';
import type { PodRule } from './pod-rule.ts';
import { type ClusterFacts, renderPodEntry } from './render.ts';

/** What a rule says of a pod. */
export type Verdict =
  /** The rule is not about this pod; says which demand the pod does not meet. */
  | { readonly kind: 'not-selected'; readonly why: string }
  /** The namespace is one that configuration leaves to itself. */
  | { readonly kind: 'ignored' }
  /** Selected, and nothing can be said yet: the pod has no node, or what it needs is not known. */
  | { readonly kind: 'waiting'; readonly why: string }
  /** Selected, and the rule makes no valid entry of the pod. */
  | { readonly kind: 'failed'; readonly error: SignetError }
  | { readonly kind: 'entry'; readonly draft: EntryDraft };

/** A pod with what is known around it. */
export interface PodSubject {
  readonly pod: KubePod;
  /** Undefined while it is not known. */
  readonly namespace: KubeNamespace | undefined;
  readonly isIgnored: boolean;
  /** ID of the agent on the pod's node; undefined while the node is not known. */
  readonly parentId: () => Result<SpiffeId> | undefined;
  readonly data: () => TemplateData;
  readonly services: () => readonly string[];
  readonly prefixes: () => readonly string[];
}

/** Applies a rule to a pod. */
export function judgePod(rule: PodRule, subject: PodSubject, cluster: ClusterFacts): Verdict {
  const { pod, namespace } = subject;
  const own = rule.origin.kind === 'WorkloadIdentity' ? rule.origin.namespace : pod.namespace;
  if (own !== pod.namespace) {
    return { kind: 'not-selected', why: `the rule is for namespace ${own}` };
  }
  if (namespace === undefined) {
    return { kind: 'waiting', why: `namespace ${pod.namespace} is not known yet` };
  }
  const outside = unmetRequirement(rule.namespaceSelector, namespace.labels);
  if (outside !== undefined) return { kind: 'not-selected', why: `namespace: ${outside}` };
  if (subject.isIgnored) return { kind: 'ignored' };
  const other = unmetRequirement(rule.podSelector, pod.labels);
  if (other !== undefined) return { kind: 'not-selected', why: `pod: ${other}` };
  if (pod.nodeName === '') return { kind: 'waiting', why: 'the pod is not scheduled yet' };
  const parentId = subject.parentId();
  if (parentId === undefined) {
    return { kind: 'waiting', why: `node ${pod.nodeName} is not known yet` };
  }
  if (!parentId.ok) return { kind: 'failed', error: parentId.error };
  return renderVerdict(rule, subject, parentId.value, cluster);
}

function renderVerdict(
  rule: PodRule,
  subject: PodSubject,
  parentId: SpiffeId,
  cluster: ClusterFacts,
): Verdict {
  const isOwned = rule.origin.kind === 'WorkloadIdentity';
  const data = subject.data();
  const facts = {
    uid: subject.pod.uid,
    namespace: subject.pod.namespace,
    // Owners of namespaces may not read nodes; IDs and messages would tell them.
    data: isOwned ? { ...data, NodeMeta: undefined, NodeSpec: undefined } : data,
    parentId,
    services: rule.autoPopulateDnsNames ? subject.services() : [],
    prefixes: isOwned ? subject.prefixes() : [],
  };
  const draft = renderPodEntry(rule, facts, cluster);
  return draft.ok ? { kind: 'entry', draft: draft.value } : { kind: 'failed', error: draft.error };
}
