import { type KubeObject, numberAt, objectsAt, textAt } from '../../kube/objects.ts';
import { timeOf } from '../pod-certificate/answer.ts';

/** A condition as Kubernetes has them (metav1.Condition), without its time. */
export interface Condition {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

/** A condition as an object shows it. */
export interface ShownCondition {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  /** RFC 3339. */
  readonly since: string;
  readonly generation: number | undefined;
}

/** Longest message of a condition. */
const MAX_MESSAGE = 1024;

/** A condition that an object shows; undefined where it has none of that type. */
export function shownCondition(object: KubeObject, type: string): ShownCondition | undefined {
  const found = objectsAt(object, 'status', 'conditions').find(
    (condition) => textAt(condition, 'type') === type,
  );
  if (found === undefined) return undefined;
  // Not ours where it is longer: nothing of it is kept.
  const said = (field: string): string => shortText(textAt(found, field));
  return {
    status: said('status'),
    reason: said('reason'),
    message: said('message'),
    since: said('lastTransitionTime'),
    generation: numberAt(found, 'observedGeneration'),
  };
}

/** A condition as it is written, Ready unless told: its time stays as long as its status does. */
export function readyCondition(
  { status, reason, message }: Condition,
  shown: ShownCondition | undefined,
  nowMs: number,
  type = 'Ready',
): object {
  const isSame = shown?.status === status && shown.since !== '';
  const lastTransitionTime = isSame ? shown.since : timeOf(Math.floor(nowMs / 1000));
  return { type, status, reason, message: clip(message), lastTransitionTime };
}

/** Whether an object shows a condition already. */
export function isShown(
  { status, reason, message }: Condition,
  shown: ShownCondition | undefined,
): boolean {
  return shown?.status === status && shown.reason === reason && shown.message === clip(message);
}

/** A text of others, to be kept; empty where it is longer than any of ours. A part would keep the whole. */
export function shortText(text = ''): string {
  return text.length > MAX_MESSAGE ? '' : text;
}

/** As much of a message as a condition takes. */
export function clip(message: string): string {
  return message.slice(0, MAX_MESSAGE);
}
