import type { DerCursor } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { contextConstructed, contextPrimitive } from '../der/tags.ts';
import { readNameDer } from './name.ts';
import type { GeneralName } from './types.ts';

/** Identifier octets of the kinds of GeneralName (RFC 5280 §4.2.1.6). */
export const GENERAL_NAME_TAG = {
  other: contextConstructed(0),
  email: contextPrimitive(1),
  dns: contextPrimitive(2),
  x400: contextConstructed(3),
  directory: contextConstructed(4),
  ediParty: contextConstructed(5),
  uri: contextPrimitive(6),
  ip: contextPrimitive(7),
  registeredId: contextPrimitive(8),
} as const;

const KNOWN_TAGS: ReadonlySet<number> = new Set(Object.values(GENERAL_NAME_TAG));

/** Text of an IA5String; characters that are not printable are refused, NUL above all. */
function ia5Text(bytes: Uint8Array, what: string): string {
  for (const octet of bytes) {
    if (octet < 0x20 || octet > 0x7e) {
      refuse('CERTIFICATE_NAME', `${what}: has a character that is not printable ASCII`);
    }
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function readDirectoryName(cursor: DerCursor, what: string): GeneralName {
  // Name is a CHOICE, so its tag is explicit.
  const explicit = cursor.enter(GENERAL_NAME_TAG.directory, what);
  const der = readNameDer(explicit, what);
  explicit.finish(what);
  return { kind: 'directory', der };
}

/** Takes one GeneralName. The length of an IP is the caller's to check: 4 or 16, in subtrees 8 or 32. */
export function readGeneralName(cursor: DerCursor, what: string): GeneralName {
  const tag = cursor.nextTag;
  switch (tag) {
    case GENERAL_NAME_TAG.uri:
      return { kind: 'uri', text: ia5Text(cursor.content(tag, what), what) };
    case GENERAL_NAME_TAG.dns:
      return { kind: 'dns', text: ia5Text(cursor.content(tag, what), what) };
    case GENERAL_NAME_TAG.email:
      return { kind: 'email', text: ia5Text(cursor.content(tag, what), what) };
    case GENERAL_NAME_TAG.ip:
      return { kind: 'ip', bytes: cursor.content(tag, what) };
    case GENERAL_NAME_TAG.directory:
      return readDirectoryName(cursor, what);
    default:
      if (!KNOWN_TAGS.has(tag)) refuse('CERTIFICATE_NAME', `${what}: not a GeneralName`);
      return { kind: 'other', tag, der: cursor.element(what) };
  }
}

/** Takes GeneralNames (RFC 5280 §4.2.1.6): at least one; IP addresses of 4 or 16 bytes. */
export function readGeneralNames(cursor: DerCursor, what: string): GeneralName[] {
  const sequence = cursor.sequence(what);
  const names: GeneralName[] = [];
  do {
    const name = readGeneralName(sequence, what);
    if (name.kind === 'ip' && name.bytes.length !== 4 && name.bytes.length !== 16) {
      refuse('CERTIFICATE_NAME', `${what}: an IP address of ${name.bytes.length} bytes`);
    }
    names.push(name);
  } while (!sequence.done);
  return names;
}
