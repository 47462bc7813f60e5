import { fail, ok, type Result } from '../base/result.ts';
import { decodeBase64 } from '../spiffe/base64.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../spiffe/json.ts';

/**
 * Reads the JSON of an attestation, SPIRE's form: names as they are, bytes in base64. Unknown names are
 * passed over, since newer peers may add some. Fails with ATTESTATION_PAYLOAD.
 */
export function readAttestationJson(bytes: Uint8Array, maxBytes: number): Result<JsonObject> {
  const document = parseJsonObject(bytes, { maxBytes, maxDepth: 8 });
  return document.ok ? document : malformed(document.error.message);
}

/** The bytes under a name, in base64; absent, null or another size than told is refused. */
export function bytesAt(
  object: JsonObject,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): Result<Buffer> {
  return bytesOf(object.get(name), name, { min, max });
}

/** The byte strings of a list under a name. */
export function listAt(
  object: JsonObject,
  name: string,
  { count, max }: { readonly count: number; readonly max: number },
): Result<readonly Buffer[]> {
  const value = object.get(name);
  // Narrowing by Array.isArray does not reach readonly arrays.
  const items = Array.isArray(value) ? (value as readonly JsonValue[]) : undefined;
  if (items === undefined || items.length === 0) return malformed(`${name} is missing`);
  if (items.length > count) return malformed(`${name} has ${items.length} items, limit ${count}`);
  const list: Buffer[] = [];
  for (const item of items) {
    const bytes = bytesOf(item, name, { min: 1, max });
    if (!bytes.ok) return bytes;
    list.push(bytes.value);
  }
  return ok(list);
}

/** The object under a name; undefined where it is absent or null. */
export function objectAt(object: JsonObject, name: string): Result<JsonObject | undefined> {
  const value = object.get(name);
  if (value === undefined || value === null) return ok(undefined);
  return isJsonObject(value) ? ok(value) : malformed(`${name} is not an object`);
}

/** A refusal of what an agent, or a server, showed. */
export function malformed(what: string): Result<never> {
  return fail('ATTESTATION_PAYLOAD', `attestation data: ${what}`);
}

function bytesOf(
  value: JsonValue | undefined,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): Result<Buffer> {
  if (typeof value !== 'string') return malformed(`${name} is missing`);
  const bytes = decodeBase64(value);
  if (bytes === undefined) return malformed(`${name} is not base64`);
  if (bytes.length < min || bytes.length > max) {
    return malformed(`${name} has ${bytes.length} bytes`);
  }
  return ok(Buffer.from(bytes));
}
