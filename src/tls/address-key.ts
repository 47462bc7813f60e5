const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** The address as people write it: an IPv4 address that a listener on `::` sees mapped is plain. */
export function plainAddress(address: string): string {
  return MAPPED_IPV4.exec(address)?.[1] ?? address;
}

/**
 * What an address counts as where callers are limited by address: an IPv4 address itself, also when
 * it comes mapped into IPv6, and the /64 of an IPv6 address, since one host may use all of it.
 */
export function addressKey(address: string): string {
  const [zoneless = ''] = address.split('%');
  const bare = plainAddress(zoneless);
  if (!bare.includes(':')) return bare;
  const [head = '', tail] = bare.toLowerCase().split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after];
  return `${groups.slice(0, 4).join(':')}::/64`;
}
