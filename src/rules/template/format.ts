import { refuse } from '../../der/refuse.ts';
import {
  elementsOf,
  floatOf,
  integerOf,
  type MaybeValue,
  pairsOf,
  textOf,
  type Value,
} from './values.ts';

/** What Go prints for nothing in a pipe. */
export const NO_VALUE = '<no value>';

/** Formats a basic value: string, bool, integer or float. */
export type FormatBasic = (value: Value) => string;

/** A value as `%v` shows it, and within it each basic value as `basic` does. */
export function formatValue(value: MaybeValue, basic: FormatBasic = formatBasic): string {
  if (value === undefined) return '<nil>';
  switch (value.type.kind) {
    case 'slice':
      return `[${elementsOf(value)
        .map((element) => formatValue(element, basic))
        .join(' ')}]`;
    case 'map':
      return `map[${pairsOf(value)
        .map(([key, item]) => `${basic(key)}:${formatValue(item, basic)}`)
        .join(' ')}]`;
    case 'pointer':
      if (value.data === undefined) return '<nil>';
      return unprintable(value);
    case 'struct':
    case 'opaque':
      return unprintable(value);
    default:
      return basic(value);
  }
}

/** Go would show addresses, or what methods make of it. */
function unprintable({ type }: Value): never {
  refuse(
    'TEMPLATE_UNSUPPORTED',
    `a value of type ${type.name} is not printed here: name a field of it`,
  );
}

/** A basic value as `%v` shows it. */
export function formatBasic(value: Value): string {
  switch (value.type.kind) {
    case 'string':
      return textOf(value);
    case 'bool':
      return String(value.data === true);
    case 'float':
      return formatFloat(floatOf(value));
    default:
      return String(integerOf(value));
  }
}

/** Go's shortest form of a float: with an exponent below 1e-4 and from 1e6 on. */
export function formatFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e');
  const power = Number(exponent);
  if (power < -4 || power >= 6) return `${mantissa}e${formatExponent(power)}`;
  return String(value);
}

/** An exponent in two digits at least. */
function formatExponent(power: number): string {
  return `${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

/** Operands one after the other, with a space between two of which neither is a string. */
export function joinOperands(values: readonly MaybeValue[]): string {
  let text = '';
  for (const [index, value] of values.entries()) {
    const bare = (one: MaybeValue): boolean => one?.type.kind !== 'string';
    if (index > 0 && bare(value) && bare(values[index - 1])) text += ' ';
    text += formatValue(value);
  }
  return text;
}
