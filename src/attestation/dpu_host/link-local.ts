import { isIPv4, isIPv6 } from 'node:net';

/**
 * Whether an address holds on one link only: 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 §2.5.6), the
 * latter with or without its interface after a percent sign.
 */
export function isLinkLocal(address: string): boolean {
  const bare = withoutZone(address);
  if (isIPv4(bare)) return bare.startsWith('169.254.');
  return isIPv6(bare) && /^fe[89ab][0-9a-f]:/i.test(bare);
}

/** What `Host` says of an endpoint (RFC 9110 §7.2): the address without its interface, and the port. */
export function hostHeader(address: string, port: number): string {
  const bare = withoutZone(address).toLowerCase();
  return `${isIPv6(bare) ? `[${bare}]` : bare}:${port}`;
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0] ?? '';
}
