import { refuse } from '../../der/refuse.ts';
import type { Operand } from './nodes.ts';

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['a', '\x07'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['v', '\v'],
  ['\\', '\\'],
]);

/** Digits of an integer as Go writes it, an underscore only between two or after the base. */
const INTEGER =
  /^[-+]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|[1-9](?:_?[0-9])*|0)$/;

/** Digits can be read in one way only: else it takes the square of their number to refuse them. */
const FLOAT = /^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$/;

/** The text that a literal in double or back quotes stands for (Go's strconv.Unquote). */
export function unquote(literal: string, line: number): string {
  if (literal.startsWith('`')) return literal.slice(1, -1).replaceAll('\r', '');
  return unescaped(literal.slice(1, -1), '"', line);
}

/** A character in single quotes: an integer. */
export function charOf(literal: string, line: number): Operand {
  const chars = [...unescaped(literal.slice(1, -1), "'", line)];
  const [char] = chars;
  if (char === undefined || chars.length > 1) bad(literal, line);
  return { kind: 'int', value: BigInt(char.codePointAt(0) ?? 0) };
}

/** A number: an integer, or with a dot or an exponent a float. */
export function numberOf(literal: string, line: number): Operand {
  if (INTEGER.test(literal)) return { kind: 'int', value: integer(literal, line) };
  if (FLOAT.test(literal) && /[.eE]/.test(literal)) {
    const value = Number(literal);
    if (Number.isFinite(value)) return { kind: 'float', value };
  }
  if (literal.endsWith('i') || /^[-+]?0[xX]/.test(literal)) {
    refuse(
      'TEMPLATE_UNSUPPORTED',
      `line ${line}: numbers like ${literal.slice(0, 80)} are not read here`,
    );
  }
  return bad(literal, line);
}

function integer(literal: string, line: number): bigint {
  const digits = literal.replace(/^[-+]/, '').replaceAll('_', '');
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  const value = literal.startsWith('-') ? -BigInt(octal) : BigInt(octal);
  if (BigInt.asIntN(64, value) !== value) bad(literal, line);
  return value;
}

function unescaped(text: string, quote: string, line: number): string {
  const sequence =
    /\\(?:([abfnrtv\\])|(['"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))/gsu;
  return text.replace(sequence, (whole, plain, other, hex, octal, short, long) => {
    if (plain !== undefined) return ESCAPES.get(plain) ?? '';
    if (other === quote) return quote;
    const digits = short ?? long ?? hex ?? octal;
    if (other !== undefined || digits === undefined) return bad(whole, line);
    const code = Number.parseInt(digits, octal === undefined ? 16 : 8);
    const isByte = hex !== undefined || octal !== undefined;
    if (isByte && code > 0x7f) {
      // Single bytes that only together with others make a character.
      refuse('TEMPLATE_UNSUPPORTED', `line ${line}: ${whole} is a byte that is no character`);
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return bad(whole, line);
    return String.fromCodePoint(code);
  });
}

function bad(literal: string, line: number): never {
  refuse('TEMPLATE_SYNTAX', `line ${line}: ${JSON.stringify(literal.slice(0, 80))} is malformed`);
}
