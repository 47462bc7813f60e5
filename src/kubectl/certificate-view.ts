import { toHex } from '../base/bytes.ts';
import { formatBlock, formatTime } from '../cli/text.ts';
import { jsonToPlain } from '../spiffe/json.ts';
import type { JwtSvid } from '../spiffe/jwt-svid.ts';
import type { Certificate, GeneralName } from '../x509/types.ts';
import { x509AuthorityOf } from './model.ts';
import { nameText } from './name-text.ts';
import { keyTypeText, timeText, x509Json } from './view.ts';

/** Names of extended key usages (RFC 5280 §4.2.1.12). */
const USAGES: ReadonlyMap<string, string> = new Map([
  ['1.3.6.1.5.5.7.3.1', 'serverAuth'],
  ['1.3.6.1.5.5.7.3.2', 'clientAuth'],
]);

/** A certificate, a line a field. */
export function formatCertificate(certificate: Certificate, nowMs: number): string {
  const authority = x509AuthorityOf(certificate, false);
  const time = (ms: number): string => formatTime(Math.floor(ms / 1000), nowMs);
  const names = certificate.subjectAltName?.names ?? [];
  return formatBlock([
    ['Subject', nameText(certificate.subjectDer)],
    ['Issuer', nameText(certificate.issuerDer)],
    ['URI', ofKind(names, 'uri')],
    ['DNS', ofKind(names, 'dns')],
    ['IP', ipsOf(names)],
    ['Serial', certificate.serialDecimal],
    ['SHA-256', authority.fingerprint],
    ['Key', keyTypeText(authority)],
    ['Key ID', idText(certificate.subjectKeyId)],
    ['Issuer key', idText(certificate.authorityKeyId)],
    ['Valid from', time(certificate.notBeforeMs)],
    ['Valid until', time(certificate.notAfterMs)],
    ['CA', certificate.basicConstraints?.ca === true ? 'yes' : 'no'],
    ['Key usage', keyUsages(certificate).join(', ')],
    ['Extended usage', extendedUsages(certificate).join(', ') || []],
  ]);
}

/** A certificate for programs. */
export function certificateJson(certificate: Certificate): Readonly<Record<string, unknown>> {
  const names = certificate.subjectAltName?.names ?? [];
  const { authorityKeyId } = certificate;
  return {
    ...x509Json(x509AuthorityOf(certificate, false)),
    issuer: nameText(certificate.issuerDer),
    authorityKeyId: authorityKeyId === undefined ? null : toHex(authorityKeyId),
    serial: certificate.serialDecimal,
    uris: ofKind(names, 'uri'),
    dnsNames: ofKind(names, 'dns'),
    ipAddresses: ipsOf(names),
    keyUsage: keyUsages(certificate),
    extendedKeyUsage: extendedUsages(certificate),
  };
}

/** A JWT-SVID, a line a field; nothing of it was verified. */
export function formatJwt(svid: JwtSvid, nowMs: number): string {
  const { id, audience, expiresAtSeconds, issuedAtSeconds, claims } = svid;
  const others = [...claims].filter(([name]) => !['sub', 'aud', 'exp', 'iat'].includes(name));
  return formatBlock([
    ['SPIFFE ID', id.uri],
    ['Audience', audience],
    ['Issued', issuedAtSeconds === undefined ? [] : formatTime(issuedAtSeconds, nowMs)],
    ['Valid until', formatTime(expiresAtSeconds, nowMs)],
    ...others.map(([name, value]) => [name, claimText(jsonToPlain(value))] as const),
  ]);
}

/** A JWT-SVID for programs, without the token itself, which is a secret. */
export function jwtSvidJson(svid: JwtSvid): Readonly<Record<string, unknown>> {
  const { id, audience, expiresAtSeconds, issuedAtSeconds } = svid;
  return {
    spiffeId: id.uri,
    audience,
    expiresAt: timeText(expiresAtSeconds * 1000),
    issuedAt: issuedAtSeconds === undefined ? null : timeText(issuedAtSeconds * 1000),
  };
}

function claimText(value: unknown): string {
  return typeof value === 'string' ? value : String(JSON.stringify(value, bigintText));
}

function bigintText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

function idText(id: Uint8Array | undefined): string | readonly string[] {
  return id === undefined ? [] : toHex(id);
}

function ofKind(names: readonly GeneralName[], kind: 'uri' | 'dns'): readonly string[] {
  return names.flatMap((name) => (name.kind === kind ? [name.text] : []));
}

function ipsOf(names: readonly GeneralName[]): readonly string[] {
  return names.flatMap((name) => (name.kind === 'ip' ? [ipText(name.bytes)] : []));
}

function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  return (toHex(bytes).match(/.{4}/g) ?? []).join(':');
}

function keyUsages({ keyUsage }: Certificate): readonly string[] {
  if (keyUsage === undefined) return [];
  const { critical: _, ...bits } = keyUsage;
  return Object.entries(bits).flatMap(([name, isSet]) => (isSet ? [name] : []));
}

function extendedUsages({ extendedKeyUsage = [] }: Certificate): readonly string[] {
  return extendedKeyUsage.map((oid) => USAGES.get(oid) ?? oid);
}
