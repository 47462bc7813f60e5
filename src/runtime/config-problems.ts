import { z } from 'zod';
import { nearest } from '../base/nearest.ts';

/** Where in a file a key or value is. */
export type KeyPath = readonly (string | number)[];

/** One thing wrong with a configuration. */
export interface ConfigProblem {
  /** Path of the key, such as `listen.port`; empty for the file as a whole. */
  readonly path: string;
  /** What is wrong and what is allowed. */
  readonly message: string;
  /** Position in the file, both from 1, where it is known. */
  readonly line?: number;
  readonly column?: number;
}

/** A problem before its place in the file is looked up. */
export interface LocatedIssue {
  readonly path: KeyPath;
  readonly message: string;
}

type Issue = z.core.$ZodIssue;

/** The problems that a schema's issue stands for, with allowed keys or values and a near miss. */
export function explainIssue(issue: Issue, schema: z.core.$ZodType, base: KeyPath): LocatedIssue[] {
  const path = [...base, ...issue.path.map((key) => (typeof key === 'symbol' ? '' : key))];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: unknownKey(key, keysAt(schema, issue.path)),
      }));
    case 'invalid_value':
      return [{ path, message: `must be ${oneOf(issue.values.map(String))}` }];
    case 'invalid_type':
      return [{ path, message: issueTypeMessage(issue) }];
    case 'invalid_union':
      return explainUnion(issue, descend(schema, issue.path), path);
    case 'too_small':
      return [{ path, message: bound(issue.origin, 'at least', issue.minimum) }];
    case 'too_big':
      return [{ path, message: bound(issue.origin, 'at most', issue.maximum) }];
    default:
      return [{ path, message: issue.message }];
  }
}

/** `listen.port`, `adminIds[2]`. */
export function formatKeyPath(path: KeyPath): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`))
    .join('')
    .replace(/^\./, '');
}

function unknownKey(key: string, allowed: readonly string[]): string {
  const near = nearest(key, allowed);
  const hint = near === undefined ? '' : `; did you mean "${near}"?`;
  return `unknown key${hint} (allowed: ${allowed.join(', ') || 'none'})`;
}

function issueTypeMessage(issue: Extract<Issue, { code: 'invalid_type' }>): string {
  const kind: string = issue.expected;
  const wanted = { object: 'a map of keys', array: 'a list', int: 'a whole number' }[kind];
  const text = wanted ?? `a ${kind === 'number' ? 'number' : kind}`;
  return issue.input === undefined && /received undefined/.test(issue.message)
    ? `is required (${text})`
    : `must be ${text}`;
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  if (origin === 'string') return `must have ${relation} ${limit} characters`;
  if (origin === 'array') return `must have ${relation} ${limit} items`;
  return `must be ${relation} ${limit}`;
}

/** A union's own issues are those of the alternative that the value comes nearest to. */
function explainUnion(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  union: z.core.$ZodType | undefined,
  path: KeyPath,
): LocatedIssue[] {
  const options = union === undefined ? [] : optionsOf(union);
  const forms = options.map((option) => keysAt(option, []).join(' + ')).filter((text) => text);
  const wanted =
    forms.length === 0 ? issue.message : `must have one of the forms: ${forms.join(' | ')}`;
  // Alternatives that know the value's keys say more than the list of forms.
  const fitting = issue.errors.findIndex(
    (errors) => !errors.some((inner) => inner.code === 'unrecognized_keys'),
  );
  const option = options[fitting];
  const errors = issue.errors[fitting];
  if (option === undefined || errors === undefined) return [{ path, message: wanted }];
  return errors.flatMap((inner) => explainIssue(inner, option, path));
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? `${values[0]}` : `one of ${values.join(', ')}`;
}

/** Takes off defaults, optionality and transformations. */
function unwrapSchema(schema: z.core.$ZodType): z.core.$ZodType {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodReadonly
  ) {
    return unwrapSchema(schema.def.innerType);
  }
  if (schema instanceof z.ZodPipe) return unwrapSchema(schema.def.in);
  return schema;
}

function optionsOf(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  return schema instanceof z.ZodUnion ? schema.def.options : [];
}

function descend(
  schema: z.core.$ZodType,
  path: readonly PropertyKey[],
): z.core.$ZodType | undefined {
  let current: z.core.$ZodType | undefined = unwrapSchema(schema);
  for (const key of path) {
    if (current instanceof z.ZodObject) current = childOf(current, key);
    else if (current instanceof z.ZodArray) current = current.def.element;
    else if (current instanceof z.ZodRecord) current = current.def.valueType;
    else return undefined;
    current = current === undefined ? undefined : unwrapSchema(current);
  }
  return current;
}

function childOf(schema: z.ZodObject, key: PropertyKey): z.core.$ZodType | undefined {
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema.shape;
  return typeof key === 'string' && Object.hasOwn(shape, key) ? shape[key] : undefined;
}

function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  const found = descend(schema, path);
  return found instanceof z.ZodObject ? Object.keys(found.shape) : [];
}
