import { DerCursor } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { contextPrimitive, TAG } from '../der/tags.ts';
import { readGeneralNames } from './general-name.ts';
import { OID } from './oids.ts';
import type { BasicConstraints, Extension, KeyUsage, SubjectAltName } from './types.ts';

/** Most extensions in a certificate; real ones have fewer than fifteen. */
const MAX_EXTENSIONS = 64;

/** Extensions of a certificate: all as they stand, and those that Signet reads. */
export interface ParsedExtensions {
  extensions: readonly Extension[];
  keyUsage: KeyUsage | undefined;
  basicConstraints: BasicConstraints | undefined;
  subjectAltName: SubjectAltName | undefined;
  extendedKeyUsage: readonly string[] | undefined;
  subjectKeyId: Uint8Array | undefined;
  authorityKeyId: Uint8Array | undefined;
}

/** Key Usage (RFC 5280 §4.2.1.3): at least one bit; no trailing zero bits (X.690 §11.2.2). */
function readKeyUsage(cursor: DerCursor, critical: boolean): KeyUsage {
  const { unusedBits, bytes } = cursor.bitString('key usage');
  const first = bytes[0] ?? 0;
  const second = bytes[1] ?? 0;
  const last = bytes.at(-1) ?? 0;
  if (bytes.length > 2 || ((last >> unusedBits) & 1) === 0) {
    refuse('CERTIFICATE_EXTENSION', 'key usage: no bit set, or bits that do not exist');
  }
  return {
    critical,
    digitalSignature: (first & 0x80) !== 0,
    contentCommitment: (first & 0x40) !== 0,
    keyEncipherment: (first & 0x20) !== 0,
    dataEncipherment: (first & 0x10) !== 0,
    keyAgreement: (first & 0x08) !== 0,
    keyCertSign: (first & 0x04) !== 0,
    crlSign: (first & 0x02) !== 0,
    encipherOnly: (first & 0x01) !== 0,
    decipherOnly: (second & 0x80) !== 0,
  };
}

/** A BOOLEAN DEFAULT FALSE: FALSE itself is not written (X.690 §11.5). */
function readDefaultFalse(cursor: DerCursor, what: string): boolean {
  if (cursor.nextTag !== TAG.boolean) return false;
  if (!cursor.boolean(what)) refuse('DER_VALUE', `${what}: the default FALSE is written out`);
  return true;
}

/** Basic Constraints (RFC 5280 §4.2.1.9): a path length only where CA is set. */
export function readBasicConstraints(cursor: DerCursor, critical: boolean): BasicConstraints {
  const fields = cursor.sequence('basic constraints');
  const ca = readDefaultFalse(fields, 'basic constraints');
  const pathLength = fields.done ? undefined : fields.smallInteger('path length');
  fields.finish('basic constraints');
  if (!ca && pathLength !== undefined) {
    refuse('CERTIFICATE_EXTENSION', 'basic constraints: path length without CA');
  }
  return { critical, ca, pathLength };
}

/** Extended Key Usage (RFC 5280 §4.2.1.12): at least one. */
function readExtendedKeyUsage(cursor: DerCursor): string[] {
  const sequence = cursor.sequence('extended key usage');
  const usages: string[] = [];
  do usages.push(sequence.oid('extended key usage'));
  while (!sequence.done);
  return usages;
}

/** Authority Key Identifier (RFC 5280 §4.2.1.1): the key identifier; issuer and serial are passed over. */
export function readAuthorityKeyId(cursor: DerCursor): Uint8Array | undefined {
  const fields = cursor.sequence('authority key identifier');
  const keyId =
    fields.nextTag === contextPrimitive(0)
      ? fields.content(contextPrimitive(0), 'authority key identifier')
      : undefined;
  if (fields.nextTag === 0xa1) fields.skip('authority certificate issuer');
  if (fields.nextTag === contextPrimitive(2)) {
    fields.integer('authority certificate serial', contextPrimitive(2));
  }
  fields.finish('authority key identifier');
  return keyId;
}

/** Reads the value of an extension that Signet knows into its place. */
function readKnown(parsed: ParsedExtensions, extension: Extension): void {
  const { oid, critical, value } = extension;
  const cursor = new DerCursor(value);
  switch (oid) {
    case OID.keyUsage:
      parsed.keyUsage = readKeyUsage(cursor, critical);
      break;
    case OID.basicConstraints:
      parsed.basicConstraints = readBasicConstraints(cursor, critical);
      break;
    case OID.subjectAltName:
      parsed.subjectAltName = {
        critical,
        names: readGeneralNames(cursor, 'subject alternative name'),
      };
      break;
    case OID.extendedKeyUsage:
      parsed.extendedKeyUsage = readExtendedKeyUsage(cursor);
      break;
    case OID.subjectKeyId:
      parsed.subjectKeyId = cursor.content(TAG.octetString, 'subject key identifier');
      break;
    case OID.authorityKeyId:
      parsed.authorityKeyId = readAuthorityKeyId(cursor);
      break;
    default:
      return;
  }
  cursor.finish(`extension ${oid}`);
}

/** Takes one Extension (RFC 5280 §4.1), its value not read. */
export function readExtension(sequence: DerCursor): Extension {
  const fields = sequence.sequence('extension');
  const oid = fields.oid('extension');
  const critical = readDefaultFalse(fields, `criticality of extension ${oid}`);
  const value = fields.content(TAG.octetString, `extension ${oid}`);
  fields.finish(`extension ${oid}`);
  return { oid, critical, value };
}

/** Takes Extensions (RFC 5280 §4.2): at least one, none twice. */
export function readExtensions(cursor: DerCursor): ParsedExtensions {
  const sequence = cursor.sequence('extensions');
  const extensions: Extension[] = [];
  const parsed = noExtensions(extensions);
  do {
    const extension = readExtension(sequence);
    if (extensions.some((other) => other.oid === extension.oid)) {
      refuse('CERTIFICATE_EXTENSION_TWICE', `extension ${extension.oid} stands twice`);
    }
    if (extensions.length >= MAX_EXTENSIONS) {
      refuse('CERTIFICATE_EXTENSION', `more than ${MAX_EXTENSIONS} extensions`);
    }
    extensions.push(extension);
    readKnown(parsed, extension);
  } while (!sequence.done);
  return parsed;
}

/** What a certificate without extensions has. */
export function noExtensions(extensions: readonly Extension[] = []): ParsedExtensions {
  return {
    extensions,
    keyUsage: undefined,
    basicConstraints: undefined,
    subjectAltName: undefined,
    extendedKeyUsage: undefined,
    subjectKeyId: undefined,
    authorityKeyId: undefined,
  };
}
