import { MAX_DNS_NAME_BYTES } from '../dns-name.ts';
import {
  type Address,
  type Cidr,
  cidrContains,
  formatCidr,
  parseAddress,
  parseCidr,
} from './address.ts';

/** One of a segment's hosts, read. `suffix` is what a wildcard stands before, without its dot. */
export type HostPattern =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'wildcard'; readonly suffix: string }
  | { readonly kind: 'cidr'; readonly cidr: Cidr };

/** Host of a flow, read: an address never matches a name, nor a name an address. */
export type FlowHost =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'address'; readonly address: Address };

/** Of names: services of Kubernetes and SRV-like names have underscores, which certificates do not. */
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Rank of an exact name: above that of any wildcard, whose rank is the length of its suffix. */
const EXACT = MAX_DNS_NAME_BYTES + 1;

/** Reads a host of a segment: a name, `*.` and a name of two labels or more, an address or a CIDR. */
export function parseHostPattern(text: string): HostPattern | undefined {
  const cidr = parseCidr(text);
  if (cidr !== undefined) return { kind: 'cidr', cidr };
  if (!text.startsWith('*.')) {
    const name = parseName(text);
    return name === undefined ? undefined : { kind: 'name', name };
  }
  const suffix = parseName(text.slice(2));
  // `*.org` would open a whole part of the name space that many hold.
  if (suffix === undefined || !suffix.includes('.')) return undefined;
  return { kind: 'wildcard', suffix };
}

/** One text for each pattern. */
export function formatHostPattern(pattern: HostPattern): string {
  switch (pattern.kind) {
    case 'name':
      return pattern.name;
    case 'wildcard':
      return `*.${pattern.suffix}`;
    case 'cidr':
      return formatCidr(pattern.cidr);
  }
}

/** Reads the host of a flow; undefined where it is neither a name nor an address. */
export function parseFlowHost(text: string): FlowHost | undefined {
  const address = parseAddress(text);
  if (address !== undefined) return { kind: 'address', address };
  const name = parseName(text);
  return name === undefined ? undefined : { kind: 'name', name };
}

/** How closely a pattern fits a host, the greater the closer; undefined where it does not. */
export function hostRank(pattern: HostPattern, host: FlowHost): number | undefined {
  if (pattern.kind === 'cidr') {
    if (host.kind !== 'address' || !cidrContains(pattern.cidr, host.address)) return undefined;
    return pattern.cidr.prefix;
  }
  if (host.kind !== 'name') return undefined;
  if (pattern.kind === 'name') return pattern.name === host.name ? EXACT : undefined;
  return host.name.endsWith(`.${pattern.suffix}`) ? pattern.suffix.length : undefined;
}

/** A name in lower case without the root's dot; undefined where it is none. */
function parseName(text: string): string | undefined {
  if (text.length > MAX_DNS_NAME_BYTES + 1 || !/^[\x21-\x7e]+$/.test(text)) return undefined;
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  const labels = name.split('.');
  if (name.length > MAX_DNS_NAME_BYTES || !labels.every((label) => LABEL.test(label)))
    return undefined;
  // What ends in a number, or in 0x and one, is read as an address by some (WHATWG URL §3.5).
  return /^([0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '') ? undefined : name;
}

/** Whether every host that fits a segment's host fits one of `allowed` too; nothing allowed is nothing. */
export function isHostWithin(text: string, allowed: readonly string[]): boolean {
  const inner = parseHostPattern(text);
  if (inner === undefined) return false;
  return allowed.some((other) => {
    const outer = parseHostPattern(other);
    return outer !== undefined && isWithin(inner, outer);
  });
}

function isWithin(inner: HostPattern, outer: HostPattern): boolean {
  switch (inner.kind) {
    case 'cidr':
      return (
        outer.kind === 'cidr' &&
        inner.cidr.prefix >= outer.cidr.prefix &&
        cidrContains(outer.cidr, inner.cidr)
      );
    case 'name':
      return hostRank(outer, inner) !== undefined;
    case 'wildcard':
      if (outer.kind !== 'wildcard') return false;
      return inner.suffix === outer.suffix || inner.suffix.endsWith(`.${outer.suffix}`);
  }
}
