import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { fail, ok, type Result } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';

/**
 * By what a BMC is recognised; there is no way without. A pin is enough by itself: neither names nor
 * validity of a pinned certificate are looked at, as BMCs sign their own and lose their clock.
 */
export type BmcTrust =
  /** SHA-256 of the certificate's DER, lower-case hexadecimal; any of them. */
  | { readonly kind: 'certificate'; readonly sha256: readonly string[] }
  /** SHA-256 of the SubjectPublicKeyInfo DER, lower-case hexadecimal; any of them. */
  | { readonly kind: 'spki'; readonly sha256: readonly string[] }
  /** Certificates in PEM that the BMC's own must lead to, with its name or address inside. */
  | { readonly kind: 'ca'; readonly pem: string };

/** Where one BMC is, and by what it is recognised. */
export interface BmcPlace {
  /** `https://host` or `https://host:port`, as {@link parseBmcOrigin} gives it. */
  readonly origin: string;
  readonly trust: BmcTrust;
  /** Name that the certificate must hold in place of the address; for a CA only. */
  readonly serverName?: string | undefined;
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9]([a-z0-9-]{0,62}))*$/i;
const PIN = /^(cert-sha256|spki-sha256):([0-9a-f]{64})$/i;
const MAX_CA_PEM_BYTES = 65_536;

/**
 * The origin of a BMC from an address as inventories have it: `10.1.2.3`, `[fd00::1]:8443`,
 * `bmc-7.example.org`, with or without `https://`. Fails with REDFISH_SETTINGS; plain HTTP, user
 * names, paths and queries are refused.
 */
export function parseBmcOrigin(address: string): Result<string> {
  const text = address.startsWith('https://') ? address.slice('https://'.length) : address;
  const bare = isIP(text) === 6 ? `[${text}]` : text;
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?\/?$/.exec(bare);
  const host = match?.[1] ?? '';
  const port = Number(match?.[2] ?? 443);
  const isAddress = isIP(host.replace(/^\[|\]$/g, '')) !== 0;
  const url = URL.parse(`https://${host}:${port}`);
  // A name that ends in a number is an address to URLs: 10.1.2.300 is none, and 10.1 another than it looks.
  const isName = HOST_NAME.test(host) && url?.hostname === host.toLowerCase();
  if (url === null || (!isAddress && !isName) || port < 1 || port > 65_535) {
    return fail('REDFISH_SETTINGS', 'the address of a BMC is not host, host:port or https://host');
  }
  return ok(url.origin);
}

/**
 * Trust from pins as inventories have them: `cert-sha256:<hex>` or `spki-sha256:<hex>`, several of one
 * kind divided by commas while a certificate is replaced. Fails with REDFISH_SETTINGS.
 */
export function parseTlsPins(text: string): Result<BmcTrust> {
  const pins = text.split(',').map((each) => PIN.exec(each.trim()));
  const kinds = new Set(pins.map((pin) => pin?.[1]?.toLowerCase()));
  const sha256 = pins.map((pin) => pin?.[2]?.toLowerCase() ?? '');
  if (kinds.size !== 1 || sha256.includes('')) {
    return fail(
      'REDFISH_SETTINGS',
      'a TLS pin is not cert-sha256: or spki-sha256: and 64 hex digits',
    );
  }
  return ok({ kind: kinds.has('spki-sha256') ? 'spki' : 'certificate', sha256 });
}

/** Trust in CAs from PEM text. Fails with REDFISH_SETTINGS where it holds no certificate. */
export function parseTlsCa(pem: string): Result<BmcTrust> {
  const blocks = parsePem(pem, { maxBytes: MAX_CA_PEM_BYTES });
  const certificates = blocks.ok ? blocks.value.filter(({ label }) => label === 'CERTIFICATE') : [];
  if (certificates.length === 0 || !certificates.every(({ der }) => isCertificate(der))) {
    return fail('REDFISH_SETTINGS', 'the CA of a BMC is not certificates in PEM');
  }
  return ok({ kind: 'ca', pem });
}

function isCertificate(der: Uint8Array): boolean {
  try {
    return new X509Certificate(der).ca;
  } catch {
    return false;
  }
}
