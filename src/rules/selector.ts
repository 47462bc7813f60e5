import { fail, ok, type Result } from '../base/result.ts';

declare const brand: unique symbol;

/** One fact about a process or node, such as `unix:uid:1000`; exists only through this module. */
export interface Selector {
  /** What comes before the first colon, such as `unix`. */
  readonly type: string;
  /** What comes after it, such as `uid:1000`; may hold colons. */
  readonly value: string;
  /** `type:value`, the key of sets. */
  readonly text: string;
  readonly [brand]: true;
}

/** Longest selector, type and value together, in bytes. */
export const MAX_SELECTOR_BYTES = 4096;

/** A selector from its two parts, as they travel on the wire. */
export function makeSelector(type: string, value: string): Result<Selector> {
  if (type === '') return fail('SELECTOR_TYPE', 'selector type is empty');
  if (type.includes(':')) return fail('SELECTOR_TYPE', 'selector type must not hold a colon');
  if (value === '') return fail('SELECTOR_VALUE', 'selector value is empty');
  const text = `${type}:${value}`;
  if (Buffer.byteLength(text) > MAX_SELECTOR_BYTES) {
    return fail('SELECTOR_TOO_LONG', `selector is longer than ${MAX_SELECTOR_BYTES} bytes`);
  }
  if (!text.isWellFormed() || text.includes('\0') || text.includes('\ufffd')) {
    return fail('SELECTOR_VALUE', 'selector holds a NUL or is not valid UTF-8');
  }
  return ok(Object.freeze({ type, value, text }) as Selector);
}

/** A selector from `type:value`, as operators write it. */
export function parseSelector(text: string): Result<Selector> {
  const colon = text.indexOf(':');
  if (colon === -1)
    return fail('SELECTOR_TYPE', `selector "${text.slice(0, 80)}" must be type:value`);
  return makeSelector(text.slice(0, colon), text.slice(colon + 1));
}

/** Whether every selector of `wanted` is among `present`: the one rule by which entries apply. */
export function isSubset(wanted: readonly Selector[], present: ReadonlySet<string>): boolean {
  return wanted.every((selector) => present.has(selector.text));
}

/** The texts of selectors as a set, for {@link isSubset}. */
export function selectorSet(selectors: readonly Selector[]): ReadonlySet<string> {
  return new Set(selectors.map((selector) => selector.text));
}
