import type { FieldReader } from './fields.ts';

/** Labels of an object. */
export type Labels = Readonly<Record<string, string>>;

/** One demand on labels. */
export type Requirement =
  | { readonly key: string; readonly operator: 'In' | 'NotIn'; readonly values: readonly string[] }
  | { readonly key: string; readonly operator: 'Exists' | 'DoesNotExist' };

/** What labels must meet, all of it; without a requirement everything does (metav1.LabelSelector). */
export type LabelSelector = readonly Requirement[];

const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Reads a selector; one that is absent selects everything. */
export function readLabelSelector(spec: FieldReader, key: string): LabelSelector {
  const selector = spec.object(key);
  if (selector === undefined) return [];
  const labels = selector.textMap('matchLabels').map(([label, value]): Requirement => {
    if (!isLabelKey(label)) selector.refuse('matchLabels', `${JSON.stringify(label)} is no label`);
    if (!isLabelValue(value))
      selector.refuse('matchLabels', `${JSON.stringify(value)} is no value`);
    return { key: label, operator: 'In', values: [value] };
  });
  const expressions = selector.objects('matchExpressions').flatMap(readRequirement);
  return [...labels, ...expressions];
}

function readRequirement(reader: FieldReader): readonly Requirement[] {
  const key = reader.required('key');
  if (!isLabelKey(key)) reader.refuse('key', `${JSON.stringify(key)} is no label`);
  const operator = reader.required('operator');
  const values = reader.texts('values');
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0) reader.refuse('values', `is empty, and ${operator} needs a value`);
      if (!values.every(isLabelValue)) reader.refuse('values', 'holds what is no value of a label');
      return [{ key, operator, values }];
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0) reader.refuse('values', `must be empty with ${operator}`);
      return [{ key, operator }];
    default:
      reader.refuse('operator', 'is none of In, NotIn, Exists, DoesNotExist');
      return [];
  }
}

/** The first requirement that labels do not meet, in words; undefined when they meet all. */
export function unmetRequirement(selector: LabelSelector, labels: Labels): string | undefined {
  const unmet = selector.find((requirement) => !meets(requirement, labels));
  if (unmet === undefined) return undefined;
  const value = labelValue(labels, unmet.key);
  const has = value === undefined ? 'is not there' : `is ${JSON.stringify(value)}`;
  const list = 'values' in unmet ? ` (${unmet.values.join(', ')})` : '';
  return `label ${unmet.key} ${has}: ${unmet.operator}${list}`;
}

function meets(requirement: Requirement, labels: Labels): boolean {
  const value = labelValue(labels, requirement.key);
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && requirement.values.includes(value);
    case 'NotIn':
      return value === undefined || !requirement.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

function labelValue(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  return NAME.test(key.slice(slash + 1)) && (slash === -1 || PREFIX.test(key.slice(0, slash)));
}

function isLabelValue(value: string): boolean {
  return value === '' || NAME.test(value);
}
