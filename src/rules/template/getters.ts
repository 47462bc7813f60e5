import type { StructField, StructType } from './go-types.ts';

const NAMES =
  'Name GenerateName Namespace UID ResourceVersion Generation SelfLink CreationTimestamp ' +
  'DeletionTimestamp DeletionGracePeriodSeconds Labels Annotations Finalizers OwnerReferences ManagedFields';

const NO_GETTERS: ReadonlyMap<string, StructField> = new Map();
let metaGetters: ReadonlyMap<string, StructField> | undefined;

/** Methods of Go's metav1.ObjectMeta that only answer a field, such as GetName. */
export function gettersOf(type: StructType): ReadonlyMap<string, StructField> {
  if (type.name !== 'v1.ObjectMeta') return NO_GETTERS;
  metaGetters ??= new Map(
    NAMES.split(' ').flatMap((name): [string, StructField][] => {
      const field = type.field(name);
      return field === undefined ? [] : [[`Get${name}`, field]];
    }),
  );
  return metaGetters;
}
