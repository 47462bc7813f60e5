import { fail, ok, type Result } from '../../../src/base/result.ts';

/**
 * A line as an operator describes it: text that stands there as it is, `{name}` for what is read, `{*}`
 * for what is passed over. Read from left to right without ever going back, so that no line and no
 * template takes longer than the line is long.
 */
export interface LineTemplate {
  readonly parts: readonly Part[];
}

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly name: string; readonly form: ValueForm };

/** What stands in a place: digits, also with a fraction; one word; or anything up to the text that follows. */
export type ValueForm = 'number' | 'signed' | 'word' | 'rest';

/** What a template may read and what it must. */
export interface TemplateRules {
  readonly values: Readonly<Record<string, ValueForm>>;
  /** Whether it says enough where it has these. */
  readonly isWhole: (names: readonly string[]) => boolean;
  /** Whether it may begin with a place; those that say something begin with text, so that no line within a line counts. */
  readonly mayBeginOpen: boolean;
}

const MAX_TEMPLATE = 256;
const MAX_PARTS = 24;
/** Longest value that is read or passed over. */
const MAX_VALUE = 255;
const SKIP = '*';

const FORMS: Readonly<Record<Exclude<ValueForm, 'rest'>, RegExp>> = {
  number: /\d{1,12}(?:\.\d{1,9})?/y,
  signed: /[+-]? ?\d{1,12}(?:\.\d{1,9})?/y,
  word: /[\w.-]{1,64}/y,
};

/** Reads a template. Fails with FIELD_INVALID, which says what of it will not do. */
export function parseTemplate(text: string, rules: TemplateRules): Result<LineTemplate> {
  if (!/^[\x20-\x7e]+$/.test(text) || text.length > MAX_TEMPLATE) {
    return invalid(`is not 1 to ${MAX_TEMPLATE} printable ASCII characters`);
  }
  const parts: Part[] = [];
  for (const piece of text.split(/(\{[^{}]*\})/).filter((each) => each !== '')) {
    const part = partOf(piece, rules);
    if (!part.ok) return part;
    parts.push(part.value);
  }
  const fault = faultOf(parts, rules);
  return fault === undefined ? ok({ parts }) : invalid(fault);
}

/**
 * What a line says by a template: values by their names, and where it ends; undefined where the line is
 * another. A line may go on behind the template.
 */
export function matchTemplate(
  { parts }: LineTemplate,
  line: string,
): { readonly values: ReadonlyMap<string, string>; readonly end: number } | undefined {
  const values = new Map<string, string>();
  let at = 0;
  for (const [index, part] of parts.entries()) {
    if (part.kind === 'text') {
      if (!line.startsWith(part.text, at)) return undefined;
      at += part.text.length;
      continue;
    }
    const value = valueAt(line, at, part.form, parts[index + 1]);
    if (value === undefined) return undefined;
    values.set(part.name, value);
    at += value.length;
  }
  return { values, end: at };
}

function valueAt(
  line: string,
  at: number,
  form: ValueForm,
  next: Part | undefined,
): string | undefined {
  const window = line.slice(at, at + MAX_VALUE + MAX_TEMPLATE);
  if (form === 'rest') {
    // The first place where the text that follows stands; places never follow one another.
    const end =
      next?.kind === 'text' ? window.indexOf(next.text) : Math.min(window.length, MAX_VALUE);
    return end < 0 || end > MAX_VALUE ? undefined : window.slice(0, end);
  }
  const expression = FORMS[form];
  expression.lastIndex = 0;
  return expression.exec(window)?.[0];
}

function partOf(piece: string, { values }: TemplateRules): Result<Part> {
  const name = /^\{(.*)\}$/.exec(piece)?.[1];
  if (name === undefined) {
    if (/[{}]/.test(piece)) return invalid('has a brace that opens or closes nothing');
    return ok({ kind: 'text', text: piece });
  }
  if (name === SKIP) return ok({ kind: 'value', name, form: 'rest' });
  const form = Object.hasOwn(values, name) ? values[name] : undefined;
  if (form !== undefined) return ok({ kind: 'value', name, form });
  const known = [...Object.keys(values), SKIP].map((each) => `{${each}}`).join(', ');
  return invalid(`has {${name}}; it may have ${known}`);
}

function faultOf(parts: readonly Part[], rules: TemplateRules): string | undefined {
  if (parts.length > MAX_PARTS) return `has more than ${MAX_PARTS} parts`;
  const isOpen = (part: Part | undefined): boolean => part?.kind === 'value';
  if (parts.some((part, index) => isOpen(part) && isOpen(parts[index + 1]))) {
    return 'has two places without text between them';
  }
  if (isOpen(parts[0]) && !rules.mayBeginOpen) return 'does not begin with text';
  if (isOpen(parts.at(-1)) && rules.mayBeginOpen) return 'does not end with text';
  const names = parts.flatMap((part) => (part.kind === 'value' ? [part.name] : []));
  const read = names.filter((name) => name !== SKIP);
  if (new Set(read).size < read.length) return 'reads a value twice';
  if (rules.isWhole(read)) return undefined;
  return `reads too little: of ${Object.keys(rules.values).join(', ')}`;
}

function invalid(what: string): Result<never> {
  return fail('FIELD_INVALID', `the pattern ${what}`);
}
