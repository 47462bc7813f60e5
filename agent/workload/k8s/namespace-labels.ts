import type { Clock } from '../../../src/base/clock.ts';
import { ok, type Result } from '../../../src/base/result.ts';
import type { KubeObjects } from '../../../src/kube/kube-objects.ts';
import { textMapAt } from '../../../src/kube/objects.ts';
import { shareAnswers } from '../share-answers.ts';

/** Answers the labels of a namespace. */
export type LabelsOfNamespace = (namespace: string) => Promise<Result<ReadonlyMap<string, string>>>;

/** Labels are believed so long: pods of a namespace start together. */
const KEEP_MS = 10_000;

/** Reads labels of namespaces from the API server. Errors: KUBE_*. */
export function labelsOfNamespaces(
  open: () => Promise<Result<KubeObjects>>,
  clock: Clock,
): LabelsOfNamespace {
  const read = async (name: string): Promise<Result<ReadonlyMap<string, string>>> => {
    const objects = await open();
    if (!objects.ok) return objects;
    const place = { group: '', version: 'v1', plural: 'namespaces', name };
    const namespace = await objects.value.read(place);
    return namespace.ok ? ok(textMapAt(namespace.value, 'metadata', 'labels')) : namespace;
  };
  return shareAnswers(read, KEEP_MS, clock);
}
