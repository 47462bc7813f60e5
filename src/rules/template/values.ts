import { BOOL, BYTE, FLOAT, type GoType, INT, STRING } from './go-types.ts';

/** A value with its type in Go. What has none, such as an absent key of a map, is `undefined`. */
export interface Value {
  readonly type: GoType;
  /**
   * As the JSON of the object has it, integers as bigint. Undefined is the nil of pointers, slices and
   * maps.
   */
  readonly data: unknown;
}

/** A value, or Go's invalid one. */
export type MaybeValue = Value | undefined;

/** A string. */
export function stringValue(data: string): Value {
  return { type: STRING, data };
}

/** A bool. */
export function boolValue(data: boolean): Value {
  return { type: BOOL, data };
}

/** An int. */
export function intValue(data: bigint | number): Value {
  return { type: INT, data: BigInt(data) };
}

/** A float64. */
export function floatValue(data: number): Value {
  return { type: FLOAT, data };
}

/** One byte of a string. */
export function byteValue(data: number): Value {
  return { type: BYTE, data: BigInt(data) };
}

/** JSON as a value of a type; what has another shape than the type's is its zero value, as is null. */
export function valueFromJson(type: GoType, json: unknown): Value {
  switch (type.kind) {
    case 'string':
      return { type, data: typeof json === 'string' ? json : '' };
    case 'bool':
      return { type, data: json === true };
    case 'int':
    case 'uint':
      return { type, data: BigInt(Number.isSafeInteger(json) ? Number(json) : 0) };
    case 'float':
      return { type, data: typeof json === 'number' ? json : 0 };
    case 'slice':
      return { type, data: Array.isArray(json) ? json : undefined };
    case 'map':
      return { type, data: isRecord(json) ? json : undefined };
    case 'struct':
      return { type, data: isRecord(json) ? json : {} };
    case 'pointer':
    case 'opaque':
      return { type, data: json ?? undefined };
  }
}

/** Whether it is an object of JSON. */
export function isRecord(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

/** The text of a string value. */
export function textOf({ data }: Value): string {
  return typeof data === 'string' ? data : '';
}

/** The number of an integer value. */
export function integerOf({ data }: Value): bigint {
  return typeof data === 'bigint' ? data : 0n;
}

/** The number of a float. */
export function floatOf({ data }: Value): number {
  return typeof data === 'number' ? data : 0;
}

/** The elements of a slice. */
export function elementsOf({ type, data }: Value): readonly Value[] {
  if (type.kind !== 'slice' || !Array.isArray(data)) return [];
  return data.map((json: unknown) => valueFromJson(type.elem, json));
}

/** Keys and values of a map in the order of the keys, as Go prints and ranges over them. */
export function pairsOf({ type, data }: Value): readonly (readonly [Value, Value])[] {
  if (type.kind !== 'map' || !isRecord(data)) return [];
  const sorted = Object.entries(data).sort(([a], [b]) => compareText(a, b));
  return sorted.map(([key, json]) => [
    { type: type.key, data: key },
    valueFromJson(type.elem, json),
  ]);
}

/** The value of a key; undefined where there is none. Only own keys: `__proto__` is a key like others. */
export function entryOf({ type, data }: Value, key: string): MaybeValue {
  if (type.kind !== 'map' || !isRecord(data) || !Object.hasOwn(data, key)) return undefined;
  return valueFromJson(type.elem, data[key]);
}

/** Whether it is nil: invalid, or the nil of a type that has one. */
export function isNil(value: MaybeValue): boolean {
  if (value === undefined) return true;
  const { kind } = value.type;
  return ['pointer', 'slice', 'map'].includes(kind) && value.data === undefined;
}

/** What a pointer points at, through pointers of pointers; a nil pointer stays. */
export function indirect(value: Value): Value {
  let at = value;
  while (at.type.kind === 'pointer' && at.data !== undefined) {
    at = valueFromJson(at.type.elem, at.data);
  }
  return at;
}

/** What it costs to look at a value: its elements, or each KiB of its text. */
export function weightOf(value: MaybeValue): number {
  if (value === undefined) return 0;
  const { type, data } = indirect(value);
  if (type.kind === 'string') return textOf({ type, data }).length >> 10;
  if (type.kind === 'slice' && Array.isArray(data)) return data.length;
  return type.kind === 'map' && isRecord(data) ? Object.keys(data).length : 0;
}

/** Go's truth: the zero of its type is false, and every struct is true. */
export function isTrue(value: MaybeValue): boolean {
  if (value === undefined) return false;
  switch (value.type.kind) {
    case 'string':
      return textOf(value) !== '';
    case 'bool':
      return value.data === true;
    case 'int':
    case 'uint':
      return integerOf(value) !== 0n;
    case 'float':
      return floatOf(value) !== 0;
    case 'slice':
      return Array.isArray(value.data) && value.data.length > 0;
    case 'map':
      return isRecord(value.data) && Object.keys(value.data).length > 0;
    case 'pointer':
      return value.data !== undefined;
    case 'struct':
    case 'opaque':
      return true;
  }
}

/** Order of Go's strings: by bytes, which for UTF-8 is by code points. */
export function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
