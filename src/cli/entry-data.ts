import { fail, ok, type Result } from '../base/result.ts';
import type { Entry } from '../gen/spire/api/types/entry.ts';
import type { SPIFFEID } from '../gen/spire/api/types/spiffeid.ts';
import { parseSelector } from '../rules/selector.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../spiffe/json.ts';
import { parseSpiffeId, spiffeIdFromPath } from '../spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { emptyEntry } from './entry-view.ts';
import { MAX_DATA_BYTES } from './files.ts';
import { toWireId } from './wire.ts';

/** Sets one field of an entry from its JSON value; answers what is wrong, if anything. */
type Setter = (entry: Entry, value: JsonValue) => string | undefined;

/**
 * Fields of an entry in JSON, by the letters of their names in lower case: `spiffe_id`, `spiffeId`
 * and `entryExpiry` are all found, so that SPIRE's files and the output of `-o json` both fit.
 */
const FIELDS: Readonly<Record<string, Setter>> = {
  id: text((entry, value) => {
    entry.id = value;
  }),
  entryid: text((entry, value) => {
    entry.id = value;
  }),
  spiffeid: identity((entry, id) => {
    entry.spiffeId = id;
  }),
  parentid: identity((entry, id) => {
    entry.parentId = id;
  }),
  selectors: setSelectors,
  x509svidttl: int32((entry, value) => {
    entry.x509SvidTtl = value;
  }),
  jwtsvidttl: int32((entry, value) => {
    entry.jwtSvidTtl = value;
  }),
  federateswith: texts((entry, value) => {
    entry.federatesWith = value;
  }),
  dnsnames: texts((entry, value) => {
    entry.dnsNames = value;
  }),
  hint: text((entry, value) => {
    entry.hint = value;
  }),
  admin: flag((entry, value) => {
    entry.admin = value;
  }),
  downstream: flag((entry, value) => {
    entry.downstream = value;
  }),
  storesvid: flag((entry, value) => {
    entry.storeSvid = value;
  }),
  expiresat: int64((entry, value) => {
    entry.expiresAt = value;
  }),
  entryexpiry: int64((entry, value) => {
    entry.expiresAt = value;
  }),
  // The server sets these; they are read so that printed entries can be given back.
  revisionnumber: int64(() => {}),
  createdat: int64(() => {}),
  additionalattributes: setAttributes,
};

/** Reads `{"entries": [...]}`. Fails with CLI_DATA_INVALID, naming the place. */
export function parseEntries(bytes: Uint8Array): Result<readonly Entry[]> {
  const list = listOf(bytes, 'entries');
  if (!list.ok) return list;
  const entries: Entry[] = [];
  for (const [i, value] of list.value.entries()) {
    const entry = isJsonObject(value) ? readEntry(value) : 'is not an object';
    if (typeof entry === 'string') return fail('CLI_DATA_INVALID', `entries[${i}]: ${entry}`);
    entries.push(entry);
  }
  return ok(entries);
}

/** Reads `{"ids": [...]}`. Fails with CLI_DATA_INVALID. */
export function parseIds(bytes: Uint8Array): Result<readonly string[]> {
  const list = listOf(bytes, 'ids');
  if (!list.ok) return list;
  const ids = list.value.filter((value) => typeof value === 'string' && value !== '');
  if (ids.length === list.value.length) return ok(ids.map(String));
  return fail('CLI_DATA_INVALID', 'ids holds something other than non-empty strings');
}

function listOf(bytes: Uint8Array, name: string): Result<readonly JsonValue[]> {
  const document = parseJsonObject(bytes, { maxBytes: MAX_DATA_BYTES });
  if (!document.ok) return fail('CLI_DATA_INVALID', document.error.message);
  const unknown = [...document.value.keys()].find((key) => key !== name);
  if (unknown !== undefined) return fail('CLI_DATA_INVALID', `unknown key "${unknown}"`);
  const list = document.value.get(name);
  if (!Array.isArray(list)) return fail('CLI_DATA_INVALID', `needs a list "${name}"`);
  return list.length > 0 ? ok(list) : fail('CLI_DATA_INVALID', `"${name}" is empty`);
}

function readEntry(object: JsonObject): Entry | string {
  const entry = emptyEntry();
  for (const [key, value] of object) {
    const name = key.replaceAll('_', '').toLowerCase();
    const set = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
    if (set === undefined) return `unknown key "${key}"`;
    const problem = set(entry, value);
    if (problem !== undefined) return `${key} ${problem}`;
  }
  return entry;
}

function text(set: (entry: Entry, value: string) => void): Setter {
  return (entry, value) => {
    if (typeof value !== 'string') return 'must be a string';
    set(entry, value);
    return undefined;
  };
}

function texts(set: (entry: Entry, value: string[]) => void): Setter {
  return (entry, value) => {
    const isList = Array.isArray(value) && value.every((item) => typeof item === 'string');
    if (!isList) return 'must be a list of strings';
    set(entry, value.map(String));
    return undefined;
  };
}

function flag(set: (entry: Entry, value: boolean) => void): Setter {
  return (entry, value) => {
    if (typeof value !== 'boolean') return 'must be true or false';
    set(entry, value);
    return undefined;
  };
}

function int32(set: (entry: Entry, value: number) => void): Setter {
  return (entry, value) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= 2 ** 31) {
      return 'must be whole seconds';
    }
    set(entry, value);
    return undefined;
  };
}

/** A number, or digits in a string as protojson writes 64-bit integers. */
function int64(set: (entry: Entry, value: bigint) => void): Setter {
  return (entry, value) => {
    const digits = typeof value === 'string' ? value : String(value);
    if (!/^\d{1,19}$/.test(digits) || BigInt(digits) >= 2n ** 63n) return 'must be a whole number';
    set(entry, BigInt(digits));
    return undefined;
  };
}

/** `"spiffe://…"`, or `{"trustDomain", "path"}`. */
function identity(set: (entry: Entry, id: SPIFFEID) => void): Setter {
  return (entry, value) => {
    const id = typeof value === 'string' ? parseSpiffeId(value) : idOfParts(value);
    if (!id.ok) return `is no SPIFFE ID: ${id.error.message}`;
    set(entry, toWireId(id.value));
    return undefined;
  };
}

function idOfParts(value: JsonValue): ReturnType<typeof parseSpiffeId> {
  if (!isJsonObject(value)) return fail('CLI_DATA_INVALID', 'must be a string');
  const part = (a: string, b: string): JsonValue | undefined => value.get(a) ?? value.get(b);
  const trustDomain = parseTrustDomain(String(part('trustDomain', 'trust_domain') ?? ''));
  if (!trustDomain.ok) return trustDomain;
  return spiffeIdFromPath(trustDomain.value, String(value.get('path') ?? ''));
}

/** `"type:value"`, or `{"type", "value"}`. */
function setSelectors(entry: Entry, value: JsonValue): string | undefined {
  if (!Array.isArray(value)) return 'must be a list';
  for (const item of value) {
    const given = isJsonObject(item) ? `${item.get('type')}:${item.get('value')}` : item;
    const selector = parseSelector(typeof given === 'string' ? given : '');
    if (!selector.ok) return `is no list of selectors: ${selector.error.message}`;
    entry.selectors.push({ type: selector.value.type, value: selector.value.value });
  }
  return undefined;
}

function setAttributes(entry: Entry, value: JsonValue): string | undefined {
  if (!isJsonObject(value)) return 'must be an object';
  const attributes = { disableX509SvidPrefetch: false, jwtSvidIncludeJti: false };
  for (const [key, given] of value) {
    if (typeof given !== 'boolean') return `${key} must be true or false`;
    const name = key.replaceAll('_', '').toLowerCase();
    if (name === 'disablex509svidprefetch') attributes.disableX509SvidPrefetch = given;
    else if (name === 'jwtsvidincludejti') attributes.jwtSvidIncludeJti = given;
    else return `has an unknown key "${key}"`;
  }
  entry.additionalAttributes = attributes;
  return undefined;
}
