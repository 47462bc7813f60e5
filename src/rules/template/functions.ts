import { refuse } from '../../der/refuse.ts';
import { isLess, isOneOf } from './compare.ts';
import { formatValue, joinOperands, NO_VALUE } from './format.ts';
import type { GoType } from './go-types.ts';
import { isPrintable, sprintf } from './printf.ts';
import {
  boolValue,
  byteValue,
  elementsOf,
  entryOf,
  indirect,
  integerOf,
  intValue,
  isTrue,
  type MaybeValue,
  pairsOf,
  stringValue,
  textOf,
  type Value,
  valueFromJson,
} from './values.ts';

/** A function of text/template: its arguments in order, the value of the pipe last. */
export interface TemplateFunction {
  readonly least: number;
  readonly most: number;
  readonly run: (args: readonly MaybeValue[]) => MaybeValue;
}

const fixed = (count: number, run: TemplateFunction['run']): TemplateFunction => ({
  least: count,
  most: count,
  run,
});
const open = (least: number, run: TemplateFunction['run']): TemplateFunction => ({
  least,
  most: Number.POSITIVE_INFINITY,
  run,
});
const text = (make: (args: readonly MaybeValue[]) => string): TemplateFunction =>
  open(0, (args) => stringValue(make(args)));

/** Every function but `and`, `or` and `call`, whose arguments are not evaluated before them. */
export const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['not', fixed(1, ([value]) => boolValue(!isTrue(value)))],
  ['eq', open(1, ([first, ...others]) => boolValue(isOneOf(first, others)))],
  ['ne', fixed(2, ([a, b]) => boolValue(!isOneOf(a, [b])))],
  ['lt', fixed(2, ([a, b]) => boolValue(isLess(a, b)))],
  // As Go has them: less, or equal; and the reverses of both.
  ['le', fixed(2, ([a, b]) => boolValue(isLess(a, b) || isOneOf(a, [b])))],
  ['gt', fixed(2, ([a, b]) => boolValue(!(isLess(a, b) || isOneOf(a, [b]))))],
  ['ge', fixed(2, ([a, b]) => boolValue(!isLess(a, b)))],
  ['index', open(1, ([item, ...indexes]) => indexed(item, indexes))],
  ['slice', open(1, ([item, ...indexes]) => sliced(item, indexes))],
  ['len', fixed(1, ([item]) => intValue(lengthOf(item)))],
  ['print', text(joinOperands)],
  ['println', text((args) => `${args.map((arg) => formatValue(arg)).join(' ')}\n`)],
  ['printf', open(1, ([format, ...args]) => stringValue(sprintf(formatOf(format), args)))],
  ['html', text((args) => escapeHtml(plainText(args)))],
  ['js', text((args) => escapeJs(plainText(args)))],
  ['urlquery', text((args) => escapeQuery(plainText(args)))],
]);

function formatOf(format: MaybeValue): string {
  // A named string is another type than string in Go.
  if (format?.type.name === 'string') return textOf(format);
  return refuse('TEMPLATE_VALUE', `printf takes a string first, not ${format?.type.name ?? 'nil'}`);
}

function plainText(args: readonly MaybeValue[]): string {
  const [only] = args;
  if (args.length === 1 && only?.type.name === 'string') return textOf(only);
  return joinOperands(
    args.map((arg) => (arg === undefined ? stringValue(NO_VALUE) : indirect(arg))),
  );
}

function indexed(start: MaybeValue, indexes: readonly MaybeValue[]): MaybeValue {
  if (start === undefined) refuse('TEMPLATE_VALUE', 'index of nil');
  let item: Value = start;
  for (const index of indexes) item = indexOnce(indirect(item), index);
  return item;
}

function indexOnce(item: Value, index: MaybeValue): Value {
  const { type } = item;
  switch (type.kind) {
    case 'map':
      return entryOf(item, keyOf(index, type.key)) ?? valueFromJson(type.elem, undefined);
    case 'slice': {
      const elements = elementsOf(item);
      const element = elements[positionOf(index, elements.length)];
      return element ?? refuse('TEMPLATE_VALUE', 'index out of range');
    }
    case 'string': {
      const bytes = Buffer.from(textOf(item));
      const byte = bytes[positionOf(index, bytes.length)];
      return byteValue(byte ?? refuse('TEMPLATE_VALUE', 'index out of range'));
    }
    case 'pointer':
      return refuse('TEMPLATE_VALUE', 'index of a nil pointer');
    default:
      return refuse('TEMPLATE_VALUE', `a value of type ${type.name} has no index`);
  }
}

function keyOf(index: MaybeValue, type: GoType): string {
  if (index?.type.name === type.name && type.kind === 'string') return textOf(index);
  const given = index?.type.name ?? 'nil';
  return refuse('TEMPLATE_VALUE', `a key must be of type ${type.name}, not ${given}`);
}

function positionOf(index: MaybeValue, most: number): number {
  if (index?.type.kind !== 'int' && index?.type.kind !== 'uint') {
    refuse('TEMPLATE_VALUE', `an index must be an integer, not ${index?.type.name ?? 'nil'}`);
  }
  const position = integerOf(index);
  if (position < 0n || position > BigInt(most)) {
    refuse('TEMPLATE_VALUE', `index out of range: ${position}`);
  }
  return Number(position);
}

function sliced(start: MaybeValue, indexes: readonly MaybeValue[]): Value {
  if (start === undefined) refuse('TEMPLATE_VALUE', 'slice of nil');
  const item = indirect(start);
  if (indexes.length > 3) refuse('TEMPLATE_VALUE', 'slice takes three indexes at most');
  const isText = item.type.kind === 'string';
  if (!isText && item.type.kind !== 'slice') {
    refuse('TEMPLATE_VALUE', `a value of type ${item.type.name} cannot be sliced`);
  }
  if (isText && indexes.length === 3) {
    refuse('TEMPLATE_VALUE', 'a string is not sliced by three indexes');
  }
  const length = lengthOf(item);
  const places = indexes.map((index) => positionOf(index, length));
  const [from = 0, to = length, cap = to] = places;
  if (from > to || to > cap) refuse('TEMPLATE_VALUE', `slice from ${from} to ${to}`);
  if (!isText) {
    return {
      type: item.type,
      data: Array.isArray(item.data) ? item.data.slice(from, to) : undefined,
    };
  }
  const cut = Buffer.from(textOf(item)).subarray(from, to);
  const kept = cut.toString();
  if (!Buffer.from(kept).equals(cut)) refuse('TEMPLATE_VALUE', 'slice cuts a character');
  return { type: item.type, data: kept };
}

function lengthOf(start: MaybeValue): number {
  if (start === undefined) refuse('TEMPLATE_VALUE', 'len of nil');
  const item = indirect(start);
  switch (item.type.kind) {
    case 'string':
      return Buffer.byteLength(textOf(item));
    case 'slice':
      return Array.isArray(item.data) ? item.data.length : 0;
    case 'map':
      return pairsOf(item).length;
    default:
      return refuse('TEMPLATE_VALUE', `len of a value of type ${item.type.name}`);
  }
}

const HTML: ReadonlyMap<string, string> = new Map([
  ['\0', '\ufffd'],
  ['"', '&#34;'],
  ["'", '&#39;'],
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
]);

function escapeHtml(plain: string): string {
  return plain.replace(/[\0"'&<>]/g, (char) => HTML.get(char) ?? char);
}

function escapeJs(plain: string): string {
  const hex = (char: string): string =>
    [...Array(char.length).keys()]
      .map((at) => `\\u${char.charCodeAt(at).toString(16).toUpperCase().padStart(4, '0')}`)
      .join('');
  return [...plain]
    .map((char) => {
      if (/[\\'"]/.test(char)) return `\\${char}`;
      return /[<>&=]/.test(char) || !isPrintable(char) ? hex(char) : char;
    })
    .join('');
}

function escapeQuery(plain: string): string {
  const special = /[!'()*]/g;
  const hex = (char: string): string => `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(plain).replace(special, hex).replaceAll('%20', '+');
}
