import { refuse } from '../../der/refuse.ts';
import { formatBasic, formatFloat, formatValue } from './format.ts';
import { floatOf, integerOf, type MaybeValue, textOf, type Value } from './values.ts';

/** Widest field, and most digits, that a format may ask for. */
const MAX_WIDTH = 1024;

/** One `%…` of a format. */
interface Directive {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
  readonly verb: string;
}

const DIRECTIVE = /%([-+# 0]*)(\d*)(\.\d*)?(.|$)/gsu;

/**
 * Go's Sprintf, for the verbs that make sense on what templates hold. A verb that does not fit its
 * value gives Go's `%!d(string=x)`, as do missing and surplus values.
 */
export function sprintf(format: string, values: readonly MaybeValue[]): string {
  let used = 0;
  const text = format.replace(DIRECTIVE, (_whole, flags, width, precision, verb) => {
    if (verb === '%') return '%';
    if (verb === '') return '%!(NOVERB)';
    if (verb === '*' || verb === '[')
      refuse('TEMPLATE_UNSUPPORTED', `printf: %${verb} is not read here`);
    if (used >= values.length) return `%!${verb}(MISSING)`;
    const directive: Directive = {
      flags,
      width: bounded(width),
      precision: precision === undefined ? undefined : bounded(precision.slice(1)),
      verb,
    };
    used += 1;
    return formatOne(directive, values[used - 1]);
  });
  const extra = values.slice(used).map(describe);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(', ')})`;
}

function bounded(digits: string): number {
  const number = Number(digits);
  if (number > MAX_WIDTH) refuse('TEMPLATE_LIMIT', `printf: a width of more than ${MAX_WIDTH}`);
  return number;
}

function formatOne(directive: Directive, value: MaybeValue): string {
  const { verb } = directive;
  if (verb === 'T') return pad(directive, value?.type.name ?? '<nil>');
  if (!/[vsdqtxXcobeEfFgG]/.test(verb)) {
    refuse('TEMPLATE_UNSUPPORTED', `printf: the verb ${JSON.stringify(verb)} is not read here`);
  }
  if (value === undefined) return verb === 'v' ? pad(directive, '<nil>') : `%!${verb}(<nil>)`;
  if (verb === 'v' && directive.flags.includes('#')) {
    refuse('TEMPLATE_UNSUPPORTED', 'printf: %#v is not read here');
  }
  if (value.type.kind === 'pointer' && value.data === undefined && verb !== 'v') {
    return `%!${verb}(${value.type.name}=<nil>)`;
  }
  return formatValue(value, (basic) => formatBasicBy(directive, basic));
}

function formatBasicBy(directive: Directive, value: Value): string {
  switch (value.type.kind) {
    case 'string':
      return formatString(directive, value);
    case 'bool':
      return 'vt'.includes(directive.verb)
        ? pad(directive, formatBasic(value))
        : bad(directive, value);
    case 'float':
      return formatFloatBy(directive, value);
    default:
      return formatInteger(directive, value);
  }
}

function formatString(directive: Directive, value: Value): string {
  const { verb, precision, flags } = directive;
  const text = textOf(value);
  const cut = precision === undefined ? text : [...text].slice(0, precision).join('');
  switch (verb) {
    case 'v':
    case 's':
      return pad(directive, cut);
    case 'q':
      return pad(directive, quote(cut));
    case 'x':
    case 'X': {
      if (flags !== '' && flags !== '-') return unsupported(directive);
      const hex = Buffer.from(text).subarray(0, precision).toString('hex');
      return pad(directive, verb === 'X' ? hex.toUpperCase() : hex);
    }
    default:
      return bad(directive, value);
  }
}

const BASES: ReadonlyMap<string, number> = new Map([
  ['v', 10],
  ['d', 10],
  ['x', 16],
  ['X', 16],
  ['o', 8],
  ['b', 2],
]);

function formatInteger(directive: Directive, value: Value): string {
  const { verb, flags, precision } = directive;
  const number = integerOf(value);
  if (verb === 'c' || verb === 'q') {
    const known = number >= 0n && number <= 0x10ffffn && !(number >= 0xd800n && number <= 0xdfffn);
    const char = known ? String.fromCodePoint(Number(number)) : '\ufffd';
    return verb === 'c' ? pad(directive, char) : unsupported(directive);
  }
  const base = BASES.get(verb);
  if (base === undefined) return bad(directive, value);
  if (flags.includes('#')) return unsupported(directive);
  const negative = number < 0n;
  const magnitude = (negative ? -number : number).toString(base).padStart(precision ?? 0, '0');
  const digits = precision === 0 && number === 0n ? '' : magnitude;
  const plus = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
  const sign = negative ? '-' : plus;
  const cased = verb === 'X' ? digits.toUpperCase() : digits;
  const zeros = flags.includes('0') && !flags.includes('-') && precision === undefined;
  const filled = zeros ? cased.padStart(directive.width - sign.length, '0') : cased;
  return pad({ ...directive, flags: flags.replaceAll('0', '') }, sign + filled);
}

function formatFloatBy(directive: Directive, value: Value): string {
  const { verb, flags, precision } = directive;
  const number = floatOf(value);
  if (/[#0 +]/.test(flags)) return unsupported(directive);
  switch (verb) {
    case 'v':
    case 'g':
      return precision === undefined ? pad(directive, formatFloat(number)) : unsupported(directive);
    case 'f':
    case 'F': {
      const places = precision ?? 6;
      // Go rounds halves to even, JavaScript up.
      const isHalf = (Math.abs(number) * 10 ** places) % 1 === 0.5;
      if (places > 100 || Math.abs(number) >= 1e21 || isHalf) return unsupported(directive);
      return pad(directive, number.toFixed(places));
    }
    case 'e':
    case 'E':
    case 'G':
    case 'x':
    case 'X':
    case 'b':
      return unsupported(directive);
    default:
      return bad(directive, value);
  }
}

function pad({ flags, width }: Directive, text: string): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes('-')) return text + ' '.repeat(missing);
  return (flags.includes('0') ? '0' : ' ').repeat(missing) + text;
}

function bad({ verb }: Directive, value: Value): string {
  return `%!${verb}(${value.type.name}=${formatBasic(value)})`;
}

function describe(value: MaybeValue): string {
  return value === undefined ? '<nil>' : `${value.type.name}=${formatValue(value)}`;
}

function unsupported({ flags, verb }: Directive): never {
  refuse('TEMPLATE_UNSUPPORTED', `printf: %${flags}${verb} of such a value is not read here`);
}

const QUOTED: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\x07', '\\a'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v'],
]);

/** A text in Go's double quotes (strconv.Quote). */
function quote(text: string): string {
  const inside = [...text].map(
    (char) => QUOTED.get(char) ?? (isPrintable(char) ? char : escaped(char)),
  );
  return `"${inside.join('')}"`;
}

/** What Go calls printable: letters, marks, numbers, punctuation, symbols and the ASCII space. */
export function isPrintable(char: string): boolean {
  return char === ' ' || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char);
}

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x80) return `\\x${hex.padStart(2, '0')}`;
  return code > 0xffff ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`;
}
