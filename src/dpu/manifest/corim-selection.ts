import { refuse } from '../../der/refuse.ts';
import type { Corim } from './corim.ts';
import type { CorimEnvironment, CorimReference } from './corim-references.ts';
import type { CorimSelection } from './manifest-schema.ts';
import type { ReferenceMeasurement, ReferenceValue } from './reference-manifest.ts';

/** CoRIMs that were imported, by the SHA-256 of their files in lower-case hex. */
export type Corims = ReadonlyMap<string, Corim>;

/** Highest index of a measurement (DSP0274). */
const MAX_INDEX = 254;

/** Most values of one measurement. */
const MAX_VALUES = 32;

/**
 * The measurements that a release takes from a CoRIM: everything in the environments that have all of
 * the selection's fields. What is selected must be understood whole; nothing selected is an error, not a
 * release that demands nothing. Stops with `refuse`: MANIFEST_CORIM.
 */
export function selectFromCorim(
  { sha256, environment }: CorimSelection,
  corims: Corims,
): readonly ReferenceMeasurement[] {
  const corim = corims.get(sha256);
  if (corim === undefined) refuse('MANIFEST_CORIM', `manifest: no CoRIM ${sha256}`);
  const what = `manifest: CoRIM ${sha256}`;
  const found = corim.references.filter((each) => isSelected(each.environment, environment));
  const [first] = found;
  if (first === undefined) refuse('MANIFEST_CORIM', `${what}: nothing in such an environment`);
  // Two environments that number their measurements apart would get mixed up.
  if (found.some((each) => !isSame(each.environment, first.environment))) {
    refuse('MANIFEST_CORIM', `${what}: more than one environment fits`);
  }
  return gather(found, what);
}

/** Several values for one index are alternatives. */
function gather(found: readonly CorimReference[], what: string): readonly ReferenceMeasurement[] {
  const byIndex = new Map<number, readonly ReferenceValue[]>();
  for (const { index, values } of found) {
    if (index === undefined || index < 1 || index > MAX_INDEX || values.length === 0) {
      refuse('MANIFEST_CORIM', `${what}: measurement ${index} is of a kind that is not known`);
    }
    const all = [...(byIndex.get(index) ?? []), ...values];
    if (all.length > MAX_VALUES) refuse('MANIFEST_CORIM', `${what}: too many values`);
    byIndex.set(index, all);
  }
  return [...byIndex].map(([index, values]) => ({ index, values }));
}

const FIELDS = ['classId', 'vendor', 'model', 'layer', 'index'] as const;

function isSelected(
  environment: CorimEnvironment,
  selection: CorimSelection['environment'],
): boolean {
  return FIELDS.every(
    (field) => selection[field] === undefined || selection[field] === environment[field],
  );
}

function isSame(a: CorimEnvironment, b: CorimEnvironment): boolean {
  return FIELDS.every((field) => a[field] === b[field]);
}
