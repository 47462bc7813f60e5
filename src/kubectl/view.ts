import { toHex } from '../base/bytes.ts';
import { span } from '../cli/text.ts';
import type { JudgedCopy } from './judge.ts';
import {
  type BundleCopy,
  type JwtAuthority,
  minExpiryMs,
  placeText,
  refOf,
  type X509Authority,
} from './model.ts';
import { nameText } from './name-text.ts';
import type { Table } from './print.ts';

const NONE = '-';

/** A moment to the second, in UTC. */
export function timeText(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : `${date.toISOString().slice(0, 19)}Z`;
}

/** How far away a moment is, in its largest unit: `364d`, `-2h`. */
export function awayText(ms: number | undefined, nowMs: number): string {
  if (ms === undefined) return NONE;
  const away = (ms - nowMs) / 1000;
  const [largest = '0s'] = span(Math.abs(away)).split(' ');
  return away < 0 ? `-${largest}` : largest;
}

/** Short form of what tells authorities apart. */
export function shortOf(fingerprint: string): string {
  return fingerprint.slice(0, 8);
}

/** The newest authority of a copy in short, and how many stand beside it. */
function fingerprintText({ content: { x509, jwt } }: BundleCopy): string {
  const [newest] = x509.toSorted(
    (a, b) =>
      b.certificate.notBeforeMs - a.certificate.notBeforeMs ||
      (a.fingerprint < b.fingerprint ? -1 : 1),
  );
  const shown = newest ?? jwt[0];
  if (shown === undefined) return NONE;
  const more = (newest === undefined ? jwt : x509).length - 1;
  return more === 0 ? shortOf(shown.fingerprint) : `${shortOf(shown.fingerprint)}+${more}`;
}

/** Widest table that needs no wrapping, in columns. */
const COLUMNS = 80;
/** Columns that a table of one screen may do without, the first to go first. */
const DISPENSABLE = ['REFRESH', 'FINGERPRINT', 'JWT'];

/** Whether copies are of more than one cluster; those of none, such as the server's, do not count. */
export function areSeveral(judged: readonly JudgedCopy[]): boolean {
  const contexts = judged.map(({ copy }) => copy.place.context).filter((name) => name !== '');
  return new Set(contexts).size > 1;
}

/**
 * Copies as a table. In form `wide` all columns and states stand; else the columns that a line of 80
 * has no room for are left out.
 */
export function copiesTable(judged: readonly JudgedCopy[], nowMs: number, wide: boolean): Table {
  const several = areSeveral(judged);
  const columns: (readonly [string, (one: JudgedCopy) => string])[] = [
    ...(several || wide
      ? ([['CONTEXT', ({ copy }: JudgedCopy) => copy.place.context || NONE]] as const)
      : []),
    ['TRUST DOMAIN', ({ trustDomain }) => trustDomain ?? NONE],
    ['SOURCE', ({ copy }) => copy.place.source],
    ['NAMESPACE/NAME', ({ copy }) => placeText(copy.place)],
    ['X509', ({ copy }) => countText(copy, 'x509')],
    ['JWT', ({ copy }) => countText(copy, 'jwt')],
    ['MIN EXPIRY', ({ copy }) => awayText(minExpiryMs(copy), nowMs)],
    ['FINGERPRINT', ({ copy }) => fingerprintText(copy)],
    ['SEQ', ({ copy }) => copy.sequence?.toString() ?? NONE],
    ['REFRESH', ({ copy }) => refreshText(copy)],
    ['STATE', ({ states }) => (wide ? states.join(',') : (states[0] ?? NONE))],
  ];
  const dropped = wide ? 0 : droppedColumns(columns, judged);
  const kept = columns.filter(([head]) => !DISPENSABLE.slice(0, dropped).includes(head));
  return {
    heads: kept.map(([head]) => head),
    rows: judged.map((one) => kept.map(([, cell]) => cell(one))),
  };
}

function droppedColumns(
  columns: readonly (readonly [string, (one: JudgedCopy) => string])[],
  judged: readonly JudgedCopy[],
): number {
  const widths = new Map(
    columns.map(([head, cell]) => [
      head,
      judged.reduce((most, one) => Math.max(most, cell(one).length), head.length) + 2,
    ]),
  );
  let width = [...widths.values()].reduce((sum, one) => sum + one, 0) - 2;
  let dropped = 0;
  for (const head of DISPENSABLE) {
    if (width <= COLUMNS) break;
    width -= widths.get(head) ?? 0;
    dropped += 1;
  }
  return dropped;
}

function countText({ content, problem }: BundleCopy, kind: 'x509' | 'jwt'): string {
  if (problem !== undefined) return NONE;
  if (kind === 'jwt' && content.form === 'pem') return NONE;
  if (kind === 'x509' && content.form === 'jwks') return NONE;
  return String(content[kind].length);
}

function refreshText({ content: { refreshHintSeconds: hint } }: BundleCopy): string {
  return hint === undefined ? NONE : span(hint).replaceAll(' ', '');
}

/** A copy for programs. */
export function copyJson(judged: JudgedCopy): Readonly<Record<string, unknown>> {
  const { copy, states, missing, extra, reissued, isReference, trustDomain } = judged;
  const { place, content, sequence, problem } = copy;
  const expiryMs = minExpiryMs(copy);
  return {
    ref: refOf(place, true),
    context: place.context,
    source: place.source,
    namespace: place.namespace,
    name: place.name,
    key: place.key ?? null,
    trustDomain: trustDomain ?? null,
    form: content.form,
    isReference,
    isPublished: copy.isPublished,
    sequence: sequence?.toString() ?? null,
    refreshHintSeconds: content.refreshHintSeconds ?? null,
    minExpiry: expiryMs === undefined ? null : timeText(expiryMs),
    state: states[0],
    states,
    missing,
    extra,
    reissued,
    x509: content.x509.map(x509Json),
    jwt: content.jwt.map(jwtJson),
    ...(problem === undefined ? {} : { error: { code: problem.code, message: problem.message } }),
  };
}

/** An X.509 authority for programs. */
export function x509Json(authority: X509Authority): Readonly<Record<string, unknown>> {
  const { certificate, fingerprint, keyFingerprint, tainted } = authority;
  const { subjectKeyId, notBeforeMs, notAfterMs, basicConstraints } = certificate;
  return {
    subject: nameText(certificate.subjectDer),
    sha256: fingerprint,
    keySha256: keyFingerprint,
    subjectKeyId: subjectKeyId === undefined ? null : toHex(subjectKeyId),
    keyType: keyTypeText(authority),
    notBefore: timeText(notBeforeMs),
    notAfter: timeText(notAfterMs),
    ca: basicConstraints?.ca === true,
    pathLength: basicConstraints?.pathLength ?? null,
    tainted,
  };
}

/** A JWT authority for programs. */
export function jwtJson(authority: JwtAuthority): Readonly<Record<string, unknown>> {
  const { keyId, fingerprint, keyType, expiresAtMs, tainted } = authority;
  const expiresAt = expiresAtMs === undefined ? null : timeText(expiresAtMs);
  return { keyId, sha256: fingerprint, keyType, expiresAt, tainted };
}

/** Type and length of a key, such as `rsa-2048`. */
export function keyTypeText({
  certificate: { publicKey },
}: Pick<X509Authority, 'certificate'>): string {
  const { type, bits } = publicKey;
  return type === 'rsa' ? `rsa-${bits}` : type;
}
