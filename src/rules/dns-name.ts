import { fail, ok, type Result } from '../base/result.ts';

/** Most DNS names of one entry or certificate. */
export const MAX_DNS_NAMES = 64;

/** Longest DNS name in bytes (RFC 1035 §2.3.4, without the root's dot). */
export const MAX_DNS_NAME_BYTES = 253;

/** A label: letters, digits and dashes, no dash at either end (RFC 1123 §2.1), 1 to 63 bytes. */
const LABEL = /^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;

/** Checks DNS names for a certificate: at most 64, well-formed, each once. Order is kept. */
export function checkDnsNames(names: readonly string[]): Result<readonly string[]> {
  if (names.length > MAX_DNS_NAMES) {
    return fail('DNS_NAMES_TOO_MANY', `${names.length} DNS names; at most ${MAX_DNS_NAMES}`);
  }
  for (const name of names) {
    const problem = dnsNameProblem(name);
    if (problem !== undefined) return fail('DNS_NAME_INVALID', `${quote(name)} ${problem}`);
  }
  const folded = new Set(names.map((name) => name.toLowerCase()));
  if (folded.size !== names.length) return fail('DNS_NAME_INVALID', 'a DNS name is repeated');
  return ok(Object.freeze([...names]));
}

function dnsNameProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name.length > MAX_DNS_NAME_BYTES) return `is longer than ${MAX_DNS_NAME_BYTES} bytes`;
  const labels = name.split('.');
  // A wildcard stands for the whole leftmost label only (RFC 6125 §6.4.3), never for all names.
  const first = labels[0] === '*' && labels.length > 2 ? 1 : 0;
  if (!labels.slice(first).every((label) => LABEL.test(label))) return 'is not a DNS name';
  // A name that ends in a number would be read as an address (RFC 1123 §2.1).
  return /^[0-9]+$/.test(labels.at(-1) ?? '') ? 'ends in a number, as addresses do' : undefined;
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
