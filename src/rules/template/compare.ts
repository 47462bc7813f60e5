import { refuse } from '../../der/refuse.ts';
import {
  compareText,
  floatOf,
  integerOf,
  isNil,
  type MaybeValue,
  textOf,
  type Value,
} from './values.ts';

type Basic = 'bool' | 'int' | 'uint' | 'float' | 'string';

function basicKind(value: MaybeValue): Basic | undefined {
  const kind = value?.type.kind;
  switch (kind) {
    case 'bool':
    case 'int':
    case 'uint':
    case 'float':
    case 'string':
      return kind;
    default:
      return undefined;
  }
}

function areIntegers(a: Basic | undefined, b: Basic | undefined): boolean {
  return (a === 'int' || a === 'uint') && (b === 'int' || b === 'uint');
}

/** `eq`: whether the first is one of the others. */
export function isOneOf(first: MaybeValue, others: readonly MaybeValue[]): boolean {
  if (others.length === 0) refuse('TEMPLATE_VALUE', 'eq has nothing to compare with');
  return others.some((other) => isEqual(first, other));
}

function isEqual(a: MaybeValue, b: MaybeValue): boolean {
  const [kind, other] = [basicKind(a), basicKind(b)];
  if (a === undefined || b === undefined) {
    // Two of the same kind are compared, be it nil; of two kinds one of which is none, neither.
    return kind === other && isNil(a) && isNil(b);
  }
  if (kind !== other && !areIntegers(kind, other)) return incomparable(a, b);
  if (kind === undefined) return isEqualNil(a, b);
  return compareBasic(a, b) === 0;
}

/** Pointers, slices, maps and structs: only nil is compared here. */
function isEqualNil(a: Value, b: Value): boolean {
  if (a.type.kind !== b.type.kind) return incomparable(a, b);
  if (isNil(a) || isNil(b)) return isNil(a) === isNil(b);
  return incomparable(a, b);
}

/** `lt`. */
export function isLess(a: MaybeValue, b: MaybeValue): boolean {
  const [kind, other] = [basicKind(a), basicKind(b)];
  const ordered = kind === other || areIntegers(kind, other);
  if (a === undefined || b === undefined || kind === undefined || kind === 'bool' || !ordered) {
    return incomparable(a, b);
  }
  return compareBasic(a, b) < 0;
}

function compareBasic(a: Value, b: Value): number {
  switch (a.type.kind) {
    case 'bool':
      return a.data === b.data ? 0 : 1;
    case 'string':
      return compareText(textOf(a), textOf(b));
    case 'float':
      return floatOf(a) === floatOf(b) ? 0 : floatOf(a) < floatOf(b) ? -1 : 1;
    default: {
      const [one, two] = [integerOf(a), integerOf(b)];
      return one === two ? 0 : one < two ? -1 : 1;
    }
  }
}

function incomparable(a: MaybeValue, b: MaybeValue): never {
  const name = (value: MaybeValue): string => value?.type.name ?? 'nil';
  refuse('TEMPLATE_VALUE', `${name(a)} and ${name(b)} cannot be compared`);
}
