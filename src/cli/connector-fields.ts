import { parse } from 'yaml';
import { fail, ok, type Result } from '../base/result.ts';
import { parseDuration } from '../runtime/units.ts';
import { MAX_DATA_BYTES } from './files.ts';

/** A value of a document, as the parser gives it. */
export type Raw = unknown;

/** A field of a document set into what is made of it; answers what is wrong, if anything. */
export type FieldSetter<T> = (target: T, value: Raw) => string | undefined;

/**
 * Reads a document of JSON or YAML: an object with one list of this name, or one thing by itself. Fails
 * with CLI_DATA_INVALID.
 */
export function parseThings(bytes: Uint8Array, list: string): Result<readonly Raw[]> {
  if (bytes.length > MAX_DATA_BYTES) return invalid('is too long');
  let value: Raw;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    // JSON is YAML. Aliases are not followed: a few lines of them could stand for gigabytes.
    value = parse(text, { uniqueKeys: true, maxAliasCount: 0, schema: 'core' });
  } catch (error) {
    return invalid(
      error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'is no document',
    );
  }
  if (!isObject(value)) return invalid(`is no object; write {"${list}": [...]} or one by itself`);
  if (!Object.hasOwn(value, list)) return ok([value]);
  const other = Object.keys(value).find((key) => key !== list && key !== 'nextPageToken');
  if (other !== undefined) return invalid(`unknown key ${JSON.stringify(other.slice(0, 80))}`);
  const items = value[list];
  if (!Array.isArray(items) || items.length === 0)
    return invalid(`"${list}" is no list, or is empty`);
  return ok(items);
}

/** Sets the fields of one thing. Fails with CLI_DATA_INVALID, naming the field. */
export function setFields<T>(
  target: T,
  value: Raw,
  setters: Readonly<Record<string, FieldSetter<T>>>,
): Result<T> {
  if (!isObject(value)) return invalid('is no object');
  for (const [key, given] of Object.entries(value)) {
    const set = Object.hasOwn(setters, key) ? setters[key] : undefined;
    if (set === undefined) return invalid(`unknown key ${JSON.stringify(key.slice(0, 80))}`);
    const problem = set(target, given);
    if (problem !== undefined) return invalid(`${key} ${problem}`);
  }
  return ok(target);
}

/** What is wrong with a document. */
export function invalid(what: string): Result<never> {
  return fail('CLI_DATA_INVALID', what);
}

/** Whether a value has keys. */
export function isObject(value: Raw): value is Readonly<Record<string, Raw>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field that holds a text. */
export function textField<T>(set: (target: T, value: string) => void): FieldSetter<T> {
  return (target, value) => {
    if (typeof value !== 'string') return 'must be a string';
    set(target, value);
    return undefined;
  };
}

/** A field that holds a whole number of 32 bits. */
export function countField<T>(set: (target: T, value: number) => void): FieldSetter<T> {
  return (target, value) => {
    if (!isUint32(value)) return 'must be a whole number';
    set(target, value);
    return undefined;
  };
}

/** A field that holds whole seconds: a number, or a duration such as `1h`. */
export function secondsField<T>(set: (target: T, value: number) => void): FieldSetter<T> {
  return (target, value) => {
    const parsed = typeof value === 'string' ? parseDuration(value) : ok(value);
    if (!parsed.ok || !isUint32(parsed.value)) return 'must be whole seconds, or such as "1h"';
    set(target, parsed.value);
    return undefined;
  };
}

/** A field that holds true or false. */
export function flagField<T>(set: (target: T, value: boolean) => void): FieldSetter<T> {
  return (target, value) => {
    if (typeof value !== 'boolean') return 'must be true or false';
    set(target, value);
    return undefined;
  };
}

/** A field that holds a list, each of its items read by `read`; undefined is none. */
export function listField<T, I>(
  read: (item: Raw) => I | undefined,
  what: string,
  set: (target: T, value: I[]) => void,
): FieldSetter<T> {
  return (target, value) => {
    if (!Array.isArray(value)) return 'must be a list';
    const items = value.map(read);
    const known = items.filter((item) => item !== undefined);
    if (known.length !== items.length) return `must be a list of ${what}`;
    set(target, known);
    return undefined;
  };
}

/** A list of texts. */
export function textsField<T>(set: (target: T, value: string[]) => void): FieldSetter<T> {
  return listField((item) => (typeof item === 'string' ? item : undefined), 'strings', set);
}

/** A field that holds texts by names. */
export function labelsField<T>(
  set: (target: T, value: Record<string, string>) => void,
): FieldSetter<T> {
  return (target, value) => {
    if (!isObject(value)) return 'must be an object';
    const labels: Record<string, string> = {};
    for (const [key, given] of Object.entries(value)) {
      if (typeof given !== 'string') return 'must have strings as values';
      Object.defineProperty(labels, key, { value: given, enumerable: true, configurable: true });
    }
    set(target, labels);
    return undefined;
  };
}

/** Whether a value is a whole number of 32 bits. */
export function isUint32(value: Raw): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}
