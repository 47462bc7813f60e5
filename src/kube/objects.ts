/** One object of Kubernetes, as JSON. What is in it is asked for by the functions below. */
export type KubeObject = Readonly<Record<string, unknown>>;

/** Who an object is. */
export interface KubeMeta {
  readonly name: string;
  /** Empty for objects of the cluster. */
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Whether a value is a JSON object. */
export function isKubeObject(value: unknown): value is KubeObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value below nested objects; undefined where a key is missing or holds no object. */
export function valueAt(object: KubeObject, ...keys: readonly string[]): unknown {
  let value: unknown = object;
  for (const key of keys) {
    value = isKubeObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value;
}

/** The text at a place; undefined where there is none. */
export function textAt(object: KubeObject, ...keys: readonly string[]): string | undefined {
  const value = valueAt(object, ...keys);
  return typeof value === 'string' ? value : undefined;
}

/** The number at a place; undefined where there is none. */
export function numberAt(object: KubeObject, ...keys: readonly string[]): number | undefined {
  const value = valueAt(object, ...keys);
  return typeof value === 'number' ? value : undefined;
}

/** The truth at a place; undefined where there is none. */
export function booleanAt(object: KubeObject, ...keys: readonly string[]): boolean | undefined {
  const value = valueAt(object, ...keys);
  return typeof value === 'boolean' ? value : undefined;
}

/** The object at a place; undefined where there is none. */
export function objectAt(object: KubeObject, ...keys: readonly string[]): KubeObject | undefined {
  const value = valueAt(object, ...keys);
  return isKubeObject(value) ? value : undefined;
}

/** The objects of a list at a place; empty where there is no list, without what is no object. */
export function objectsAt(object: KubeObject, ...keys: readonly string[]): readonly KubeObject[] {
  return listAt(object, keys).filter(isKubeObject);
}

/** The texts of a list at a place; empty where there is no list, without what is no text. */
export function textsAt(object: KubeObject, ...keys: readonly string[]): readonly string[] {
  return listAt(object, keys).filter((item) => typeof item === 'string');
}

/** The texts of a map at a place, such as labels; empty where there is no map. */
export function textMapAt(
  object: KubeObject,
  ...keys: readonly string[]
): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const [key, value] of Object.entries(objectAt(object, ...keys) ?? {})) {
    if (typeof value === 'string') map.set(key, value);
  }
  return map;
}

/** Who an object is; what it does not say is empty. */
export function metaOf(object: KubeObject): KubeMeta {
  return {
    name: textAt(object, 'metadata', 'name') ?? '',
    namespace: textAt(object, 'metadata', 'namespace') ?? '',
    uid: textAt(object, 'metadata', 'uid') ?? '',
    resourceVersion: textAt(object, 'metadata', 'resourceVersion') ?? '',
  };
}

/** `namespace/name`, or the name alone where there is no namespace. */
export function keyOf({ namespace, name }: Pick<KubeMeta, 'namespace' | 'name'>): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

function listAt(object: KubeObject, keys: readonly string[]): readonly unknown[] {
  const value = valueAt(object, ...keys);
  return Array.isArray(value) ? value : [];
}

/** Whether a pod of this phase has ended for good (core/v1 PodPhase). */
export function hasEnded(phase: string): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}
