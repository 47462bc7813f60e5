import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** An IP address as a number. IPv4 addresses in IPv6 form (RFC 4291 §2.5.5.2) are read as IPv4. */
export interface Address {
  readonly family: 4 | 6;
  readonly bits: bigint;
}

/** A block of addresses; one address is a block of full length. */
export interface Cidr extends Address {
  /** 0 to 32 or 128. */
  readonly prefix: number;
}

/**
 * Reads an address in its strict form: four decimals without leading zeros, or IPv6 without brackets and
 * without a zone. Undefined for anything else, such as `127.1`, which some programs take for an address.
 */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, bits: bitsOfV4(text) };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const bits = bitsOfV6(text);
  return bits >> 32n === 0xffffn ? { family: 4, bits: bits & 0xffffffffn } : { family: 6, bits };
}

/** Reads an address or `address/length`; undefined where it is neither, or has bits below its length. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const length = widthOf(address);
  if (slash === -1) return { ...address, prefix: length };
  const digits = text.slice(slash + 1);
  // An IPv4 block in IPv6 form would have its length in the other family's terms.
  if (!/^(0|[1-9]\d{0,2})$/.test(digits) || (text.includes(':') && address.family === 4)) {
    return undefined;
  }
  const prefix = Number(digits);
  if (prefix > length || address.bits !== networkOf(address, prefix)) return undefined;
  return { ...address, prefix };
}

/** Whether an address lies in a block; never across families. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
  return cidr.family === address.family && networkOf(address, cidr.prefix) === cidr.bits;
}

/** One text for each block: RFC 5952 §4, the length only where it is not full. */
export function formatCidr({ family, bits, prefix }: Cidr): string {
  const address = family === 4 ? formatV4(bits) : formatV6(bits);
  return prefix === widthOf({ family }) ? address : `${address}/${prefix}`;
}

function widthOf({ family }: Pick<Address, 'family'>): number {
  return family === 4 ? 32 : 128;
}

function networkOf(address: Address, prefix: number): bigint {
  const below = BigInt(widthOf(address) - prefix);
  return (address.bits >> below) << below;
}

function bitsOfV4(text: string): bigint {
  return text.split('.').reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
}

function bitsOfV6(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const gap = Array<bigint>(8 - front.length - back.length).fill(0n);
  return [...front, ...gap, ...back].reduce((bits, group) => (bits << 16n) | group, 0n);
}

function groupsOf(text: string): readonly bigint[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [BigInt(`0x${group}`)];
    const v4 = bitsOfV4(group);
    return [v4 >> 16n, v4 & 0xffffn];
  });
}

function formatV4(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => String((bits >> shift) & 0xffn)).join('.');
}

function formatV6(bits: bigint): string {
  const hex = bits.toString(16).padStart(32, '0');
  const groups = hex.match(/.{4}/g) ?? [];
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}
