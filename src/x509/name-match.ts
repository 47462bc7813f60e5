import { DerCursor } from '../der/reader.ts';
import { TAG } from '../der/tags.ts';
import { type NameAttribute, readName } from './name.ts';

/** One label of a host name: letters, digits, inner hyphens; underscores are in wide use. */
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** One label of a DNS name in the preferred syntax (RFC 1034 §3.5, RFC 1123 §2.1). */
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Whether a dNSName is in the preferred syntax that RFC 5280 §4.2.1.6 demands: letters, digits and inner
 * hyphens, not an IP address; the first label may be a lone asterisk (RFC 9525 §6.3). SPIRE hands out no
 * other.
 */
export function isDnsName(name: string): boolean {
  const rest = name.startsWith('*.') ? name.slice(2) : name;
  if (rest.length > 253 || IPV4.test(rest)) return false;
  return rest
    .toLowerCase()
    .split('.')
    .every((label) => DNS_LABEL.test(label));
}

/** Lower-case host name, or nothing where a label is empty or malformed. */
export function normalHost(host: string): string | undefined {
  const lower = host.toLowerCase();
  return lower.length <= 255 && lower.split('.').every((label) => LABEL.test(label))
    ? lower
    : undefined;
}

/** Whether a host is a domain or lies below it; both normalised. */
export function isWithinDomain(host: string, domain: string): boolean {
  return host === domain || host.endsWith(`.${domain}`);
}

/**
 * Host of a URI for name constraints (RFC 5280 §4.2.1.10): nothing where the URI has no authority, or
 * one that is an IP address, has user information, or is malformed; such a name fails any constraint.
 */
export function uriHost(uri: string): string | undefined {
  const match = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?#]*)/.exec(uri);
  const authority = match?.[1];
  if (authority === undefined) return undefined;
  const host = authority.replace(/:\d*$/, '');
  return IPV4.test(host) ? undefined : normalHost(host);
}

/** An e-mail address in its two parts. */
export interface Mailbox {
  /** Case matters. */
  readonly local: string;
  readonly host: string;
}

/** Parts of an rfc822Name (RFC 5280 §4.2.1.6: a Mailbox without comment or display name). */
export function parseMailbox(text: string): Mailbox | undefined {
  const at = text.lastIndexOf('@');
  if (at <= 0) return undefined;
  const local = text.slice(0, at);
  const host = normalHost(text.slice(at + 1));
  // Dot-atom only (RFC 5321 §4.1.2): a quoted local part could hide another "@".
  const isAtom = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/.test(
    local,
  );
  return host === undefined || !isAtom ? undefined : { local, host };
}

/** Text of a UniversalString: four octets a character. */
function decodeUniversal(bytes: Buffer): string | undefined {
  if (bytes.length % 4 !== 0) return undefined;
  const points: number[] = [];
  for (let at = 0; at < bytes.length; at += 4) points.push(bytes.readUInt32BE(at));
  return points.every((point) => point <= 0x10ffff) ? String.fromCodePoint(...points) : undefined;
}

/** Text of an attribute in any of the string types, so that none of them hides a name. */
function decodeText(attribute: NameAttribute): string | undefined {
  const { value } = attribute;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  switch (attribute.tag) {
    case TAG.utf8String:
      return bytes.toString('utf8');
    case TAG.printableString:
    case TAG.ia5String:
    case TAG.teletexString:
    case TAG.numericString:
    case TAG.visibleString:
      return bytes.toString('latin1');
    case TAG.bmpString:
      return bytes.length % 2 === 0 ? Buffer.from(bytes).swap16().toString('utf16le') : undefined;
    case TAG.universalString:
      return decodeUniversal(bytes);
    default:
      return undefined;
  }
}

/**
 * Comparable form of an attribute (RFC 5280 §7.1): text in any string type without case and with single
 * spaces; other values by their bytes.
 */
function normalAttribute(attribute: NameAttribute): string {
  const text = decodeText(attribute);
  if (text === undefined) {
    return `${attribute.oid}=#${attribute.tag}:${Buffer.from(attribute.value).toString('hex')}`;
  }
  const folded = text.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ');
  return `${attribute.oid}=${JSON.stringify(folded)}`;
}

/** Comparable form of a Name's RDNs, in order. Stops with `refuse` on a malformed Name. */
export function normalName(nameDer: Uint8Array): string[] {
  const rdns = readName(new DerCursor(nameDer), 'name');
  return rdns.map((attributes) => attributes.map(normalAttribute).sort().join('+'));
}

/** Whether a Name begins with the RDNs of another (RFC 5280 §4.2.1.10). */
export function isWithinName(name: readonly string[], base: readonly string[]): boolean {
  return base.length <= name.length && base.every((rdn, index) => name[index] === rdn);
}
