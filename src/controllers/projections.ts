import { type PackedText, TextPacker } from '../base/text-packer.ts';
import { hasEnded, type KubeObject, metaOf, objectAt, objectsAt, textAt } from '../kube/objects.ts';
import type { JsonObject } from '../rules/kube/fields.ts';
import type { Labels } from '../rules/kube/label-selector.ts';
import type { KubeEndpoints, KubeNamespace, KubeNode, KubePod } from '../rules/kube/objects.ts';
import type { RuleKind, RuleOrigin } from '../rules/kube/pod-rule.ts';

/** A rule as the API server has it. */
export interface RuleObject {
  readonly origin: RuleOrigin;
  readonly spec: JsonObject;
}

/**
 * Reads pods, as far as rules see them. Their status is not kept, nor who manages which field. Undefined for
 * one that has ended: its containers are gone for good, though the object may stay for days.
 */
export function podReader(): (object: KubeObject) => KubePod | undefined {
  const packer = new TextPacker();
  return (object) => {
    const phase = textAt(object, 'status', 'phase') ?? '';
    return hasEnded(phase) ? undefined : new ReadPod(object, packer);
  };
}

/** A pod whose JSON, by far the most of it, is packed: pods are many, and alike. */
class ReadPod implements KubePod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly createdAtSeconds: number;
  readonly nodeName: string;
  readonly labels: Labels;
  readonly #json: PackedText;

  constructor(object: KubeObject, packer: TextPacker) {
    const { name, namespace, uid } = metaOf(object);
    this.namespace = namespace;
    this.name = name;
    this.uid = uid;
    this.createdAtSeconds = Math.floor(timeAt(object, 'creationTimestamp') / 1000);
    this.nodeName = textAt(object, 'spec', 'nodeName') ?? '';
    this.labels = labelsOf(object);
    this.#json = packer.pack(jsonOf(object));
  }

  get json(): string {
    return this.#json.text;
  }
}

/** A node, as far as rules see it. */
export function nodeFrom(object: KubeObject): KubeNode {
  const { name, uid } = metaOf(object);
  return { name, uid, json: jsonOf(object) };
}

/** A namespace, as far as rules see it. */
export function namespaceFrom(object: KubeObject): KubeNamespace {
  return { name: metaOf(object).name, labels: labelsOf(object) };
}

/** Which pods an EndpointSlice leads to; undefined where it is of no service. */
export function endpointsFrom(object: KubeObject): KubeEndpoints | undefined {
  const service = textAt(object, 'metadata', 'labels', 'kubernetes.io/service-name');
  if (service === undefined) return undefined;
  const podUids = objectsAt(object, 'endpoints').flatMap((endpoint) => {
    const isPod = textAt(endpoint, 'targetRef', 'kind') === 'Pod';
    return isPod ? (textAt(endpoint, 'targetRef', 'uid') ?? []) : [];
  });
  return { namespace: metaOf(object).namespace, service, podUids };
}

/** A rule, not read yet. */
export function ruleFrom(kind: RuleKind, object: KubeObject): RuleObject {
  const { name, namespace, uid } = metaOf(object);
  const deleting = textAt(object, 'metadata', 'deletionTimestamp');
  return {
    origin: {
      kind,
      namespace,
      name,
      uid,
      createdAtMs: timeAt(object, 'creationTimestamp'),
      deletingSinceMs: deleting === undefined ? undefined : timeAt(object, 'deletionTimestamp'),
    },
    spec: objectAt(object, 'spec') ?? {},
  };
}

function labelsOf(object: KubeObject): Labels {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(objectAt(object, 'metadata', 'labels') ?? {})) {
    // Defined, not assigned: a label may be called `__proto__`.
    if (typeof value === 'string') {
      Object.defineProperty(labels, key, { value, enumerable: true });
    }
  }
  return labels;
}

function jsonOf(object: KubeObject): string {
  const { managedFields: _, ...metadata } = objectAt(object, 'metadata') ?? {};
  const spec = objectAt(object, 'spec') ?? {};
  return JSON.stringify({ metadata, spec });
}

/** Unix milliseconds of a time in the metadata; 0 where there is none. */
function timeAt(object: KubeObject, key: string): number {
  const time = Date.parse(textAt(object, 'metadata', key) ?? '');
  return Number.isNaN(time) ? 0 : time;
}
