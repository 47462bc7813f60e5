import { readDer } from '../der/reader.ts';
import { TAG } from '../der/tags.ts';
import { type NameAttribute, readName } from './name.ts';
import { OID } from './oids.ts';

/** The one common name of a Name, as {@link nameAttributeOf} answers it. */
export function commonNameOf(nameDer: Uint8Array): string | undefined {
  return nameAttributeOf(nameDer, OID.commonName);
}

/**
 * The one attribute of a Name with an OID; undefined where there is none, more than one (which of them
 * is meant is a guess that others may make differently), or text that is not well formed.
 */
export function nameAttributeOf(nameDer: Uint8Array, wanted: string): string | undefined {
  const name = readDer('name', nameDer, (cursor) => readName(cursor, 'name'));
  if (!name.ok) return undefined;
  const found = name.value.flat().filter(({ oid }) => oid === wanted);
  const [attribute] = found;
  return attribute === undefined || found.length > 1 ? undefined : textOf(attribute);
}

/** Whether a Name has an attribute with one of the OIDs; one that cannot be read counts as such. */
export function hasAttribute(nameDer: Uint8Array, oids: readonly string[]): boolean {
  const name = readDer('name', nameDer, (cursor) => readName(cursor, 'name'));
  return !name.ok || name.value.flat().some(({ oid }) => oids.includes(oid));
}

function textOf({ tag, value }: NameAttribute): string | undefined {
  if (tag === TAG.utf8String) return decode('utf-8', value);
  if (tag === TAG.bmpString) return decode('utf-16be', value);
  const ascii = tag === TAG.printableString || tag === TAG.ia5String || tag === TAG.visibleString;
  return ascii && value.every((byte) => byte < 0x80) ? decode('utf-8', value) : undefined;
}

function decode(encoding: string, bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
