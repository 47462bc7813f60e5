import { fail, ok, type Result } from '../base/result.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../spiffe/json.ts';
import { parseResourcePath, type ResourcePath } from './resource-path.ts';

/** Longest text that is taken for an identifier, a version or the like. */
const MAX_TEXT_CHARACTERS = 256;

/** A value below nested objects, or undefined where a key is missing or holds no object. */
export function valueAt(object: JsonObject, ...keys: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = object;
  for (const key of keys) value = isJsonObject(value) ? value.get(key) : undefined;
  return value;
}

/**
 * A short text without the spaces that BMCs pad serial and part numbers with; undefined where it is
 * missing, of another type, empty, too long, or holds anything but printable ASCII: what is not told is
 * told apart from what is.
 */
export function textAt(object: JsonObject, ...keys: readonly string[]): string | undefined {
  const value = valueAt(object, ...keys);
  const text = typeof value === 'string' ? value.trim() : '';
  const plain = text.length <= MAX_TEXT_CHARACTERS && /^[\x20-\x7e]+$/.test(text);
  return plain ? text : undefined;
}

/** The resource that `@odata.id` names below some keys; undefined where there is no such text. */
export function linkAt(
  origin: string,
  object: JsonObject,
  ...keys: readonly string[]
): Result<ResourcePath | undefined> {
  const text = valueAt(object, ...keys, '@odata.id');
  return typeof text === 'string' ? parseResourcePath(text, origin) : ok(undefined);
}

/**
 * The entries of a collection, each an object: links, or whole resources where it was expanded. Fails
 * with REDFISH_ANSWER_SHAPE where `Members` is missing, is no list of objects, or is longer than told.
 */
export function membersOf(collection: JsonObject, most: number): Result<readonly JsonObject[]> {
  const members = collection.get('Members');
  // Narrowing by Array.isArray does not reach readonly arrays.
  const list: readonly JsonValue[] | undefined = Array.isArray(members) ? members : undefined;
  if (list === undefined || list.length > most || !list.every(isJsonObject)) {
    return fail('REDFISH_ANSWER_SHAPE', `a collection without a list of at most ${most} members`);
  }
  return ok(list);
}
