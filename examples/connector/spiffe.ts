import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { TrustBundle } from './wire.ts';

/** Authorities by trust domain. */
export type Authorities = ReadonlyMap<string, readonly X509Certificate[]>;

const ID = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)+)$/;

/** Reads what the server sent; throws where an authority is no certificate. */
export function authoritiesOf(bundles: readonly TrustBundle[]): Authorities {
  return new Map(
    bundles.map(({ trustDomain, x509Authorities }) => [
      trustDomain,
      x509Authorities.map((der) => new X509Certificate(der)),
    ]),
  );
}

/** The SPIFFE ID of a leaf: of its names exactly one is a URI (X509-SVID §2, §5.2). */
export function idOf(leaf: X509Certificate): string | undefined {
  const names = leaf.subjectAltName ?? '';
  // Node quotes names that hold commas and the like; no SPIFFE ID does.
  if (leaf.ca || names.includes('"')) return undefined;
  const [id, ...more] = names.split(', ').filter((name) => name.startsWith('URI:'));
  if (id === undefined || more.length > 0) return undefined;
  const text = id.slice('URI:'.length);
  const dots = text.split('/').some((part) => part === '.' || part === '..');
  return ID.test(text) && !dots ? text : undefined;
}

/** Name of the trust domain of an ID. */
export function trustDomainOf(id: string): string {
  return ID.exec(id)?.[1] ?? '';
}

/** What the other side of a connection has shown, leaf first. */
export function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && chain.length < 8) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}

/**
 * The SPIFFE ID of a chain; undefined unless it leads to an authority of the ID's own trust domain: TLS
 * alone would take any authority for any trust domain (X509-SVID §5.1, SPIFFE §6).
 */
export function verifiedId(
  chain: readonly X509Certificate[],
  authorities: Authorities,
  nowMs: number,
): string | undefined {
  const [leaf] = chain;
  const id = leaf === undefined ? undefined : idOf(leaf);
  if (id === undefined) return undefined;
  const anchors = authorities.get(trustDomainOf(id)) ?? [];
  for (const [at, certificate] of chain.entries()) {
    if (!isValidAt(certificate, nowMs) || (at > 0 && !certificate.ca)) return undefined;
    if (anchors.some((anchor) => isIssuedBy(certificate, anchor))) return id;
    const next = chain[at + 1];
    if (next === undefined || !isIssuedBy(certificate, next)) return undefined;
  }
  return undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isValidAt({ validFromDate, validToDate }: X509Certificate, nowMs: number): boolean {
  return validFromDate.getTime() <= nowMs && nowMs < validToDate.getTime();
}

/** PEM of DER certificates. */
export function pemOf(certificates: readonly Buffer[]): string {
  return certificates.map((der) => new X509Certificate(der).toString()).join('');
}

/** PEM of all authorities, for OpenSSL, which checks dates, path lengths and key usages. */
export function allAuthorities(authorities: Authorities): string {
  return [...authorities.values()]
    .flat()
    .map((authority) => authority.toString())
    .join('');
}
