import { KUBE_TYPES } from './kube-types.ts';

/**
 * A type as Go has it, as far as it decides what a template may do with a value. Two types are the same
 * where their names are: a named string is no string.
 */
export type GoType =
  | { readonly kind: 'string' | 'bool' | 'int' | 'uint' | 'float'; readonly name: string }
  /** Prints and compares by Go methods that we do not have. */
  | { readonly kind: 'opaque'; readonly name: string }
  | { readonly kind: 'pointer' | 'slice'; readonly name: string; readonly elem: GoType }
  | {
      readonly kind: 'map';
      readonly name: string;
      readonly key: GoType;
      readonly elem: GoType;
    }
  | StructType;

/** A struct; its fields are read when asked for, since types refer to one another. */
export interface StructType {
  readonly kind: 'struct';
  readonly name: string;
  readonly field: (name: string) => StructField | undefined;
}

/** One field of a struct. */
export interface StructField {
  /** Key in the JSON of the struct; empty where the field is embedded: it has the same JSON. */
  readonly json: string;
  readonly type: GoType;
}

/** Go's `string`. */
export const STRING: GoType = { kind: 'string', name: 'string' };
/** Go's `bool`. */
export const BOOL: GoType = { kind: 'bool', name: 'bool' };
/** Go's `int`. */
export const INT: GoType = { kind: 'int', name: 'int' };
/** Go's `uint8`, what a string is made of. */
export const BYTE: GoType = { kind: 'uint', name: 'uint8' };
/** Go's `float64`. */
export const FLOAT: GoType = { kind: 'float', name: 'float64' };

const BASIC: ReadonlyMap<string, GoType> = new Map<string, GoType>([
  ...[STRING, BOOL, INT, BYTE, FLOAT].map((type): [string, GoType] => [type.name, type]),
  ['int32', { kind: 'int', name: 'int32' }],
  ['int64', { kind: 'int', name: 'int64' }],
]);

const known = new Map<string, GoType>(BASIC);
let lines: ReadonlyMap<string, string> | undefined;

/** A type by its name in Go, such as `*v1.PodSpec`. The name must be one of the table's. */
export function goType(name: string): GoType {
  const found = known.get(name);
  if (found !== undefined) return found;
  const made = makeType(name);
  known.set(name, made);
  return made;
}

function makeType(name: string): GoType {
  if (name.startsWith('*')) return { kind: 'pointer', name, elem: goType(name.slice(1)) };
  if (name.startsWith('[]')) return { kind: 'slice', name, elem: goType(name.slice(2)) };
  if (name.startsWith('map[')) return mapType(name, name);
  const line = tableLines().get(name) ?? '= opaque';
  if (!line.startsWith('= ')) return structType(name, line);
  const underlying = line.slice(2);
  if (underlying.startsWith('map[')) return mapType(name, underlying);
  const basic = BASIC.get(underlying);
  return basic === undefined ? { kind: 'opaque', name } : { ...basic, name };
}

function mapType(name: string, text: string): GoType {
  const end = text.indexOf(']');
  return { kind: 'map', name, key: goType(text.slice(4, end)), elem: goType(text.slice(end + 1)) };
}

function structType(name: string, line: string): GoType {
  let fields: ReadonlyMap<string, StructField> | undefined;
  return {
    kind: 'struct',
    name,
    field(asked) {
      fields ??= parseFields(line);
      return fields.get(asked);
    },
  };
}

function parseFields(line: string): ReadonlyMap<string, StructField> {
  const fields = new Map<string, StructField>();
  for (const text of line.split(', ')) {
    const [name = '', json = '', type = ''] = text.split(' ');
    // A field nearer to the struct hides one that is embedded deeper; the table has nearer ones first.
    if (!fields.has(name)) fields.set(name, { json, type: goType(type) });
  }
  return fields;
}

function tableLines(): ReadonlyMap<string, string> {
  lines ??= new Map(
    KUBE_TYPES.trim()
      .split('\n')
      .map((line) => {
        const space = line.indexOf(' ');
        const name = line.slice(0, space);
        return name.endsWith(':')
          ? [name.slice(0, -1), line.slice(space + 1)]
          : [name, line.slice(space + 1)];
      }),
  );
  return lines;
}
