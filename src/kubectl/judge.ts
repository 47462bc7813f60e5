import {
  type BundleContent,
  type BundleCopy,
  type JwtAuthority,
  minExpiryMs,
  refOf,
  type X509Authority,
} from './model.ts';
import { runsOut } from './nearness.ts';

/** What a copy may be, the worst first; what stands in its column STATE is the first that it is. */
export const STATES = [
  'Unreadable',
  'Empty',
  'Extra',
  'Expired',
  'Tainted',
  'Stale',
  'Missing',
  'Expiring',
  'Reissued',
  'InSync',
] as const;

/** One of {@link STATES}. */
export type State = (typeof STATES)[number];

/** How a copy differs from the reference; authorities by their fingerprints. */
export interface Difference {
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  /** Those of the copy whose key the reference has under another certificate. */
  readonly reissued: readonly string[];
}

/** A copy, judged. */
export interface JudgedCopy extends Difference {
  readonly copy: BundleCopy;
  /** Name of the trust domain that it was judged by: its own, or that of the bundle it shares with. */
  readonly trustDomain: string | undefined;
  /** At least one, the worst first. */
  readonly states: readonly State[];
  /** Whether it is what the others were compared to. */
  readonly isReference: boolean;
}

/** What copies are judged by. */
export interface JudgeOptions {
  readonly nowMs: number;
  /** An authority that ends sooner is Expiring, in milliseconds; by its life where undefined. */
  readonly withinMs: number | undefined;
  /** References (`server`, `cm/spire/spire-bundle`) that others are compared to; chosen where undefined. */
  readonly against?: string | undefined;
}

/** What the copies of a trust domain are compared to; two copies where no one holds both kinds. */
interface Reference {
  readonly x509: BundleCopy | undefined;
  readonly jwt: BundleCopy | undefined;
}

/**
 * Judges copies: each is compared to the reference of its trust domain. That is the copy named, else the
 * server, an endpoint, a ClusterTrustBundle, the copy with the highest sequence, the content that most have.
 */
export function judge(copies: readonly BundleCopy[], options: JudgeOptions): readonly JudgedCopy[] {
  return groupsOf(copies).flatMap(({ trustDomain, members }) => {
    const reference: Reference = {
      x509: referenceOf(members, options.against, ({ content }) => content.x509.length > 0),
      jwt: referenceOf(members, options.against, ({ content }) => content.jwt.length > 0),
    };
    return members.map((copy) => judgeOne(copy, trustDomain, reference, options));
  });
}

/** What authorities of `a` are not in `b` and the other way round, by fingerprints. */
export function compare(copy: BundleContent, reference: BundleContent): Difference {
  const x509 = difference(copy.x509, reference.x509, (one: X509Authority) => one.keyFingerprint);
  // PEM has no place for JWT keys, a JWK Set none for certificates.
  const noX509 = copy.form === 'jwks' || reference.form === 'jwks';
  const noJwt = copy.form === 'pem' || reference.form === 'pem';
  const jwt = difference(copy.jwt, reference.jwt, (one: JwtAuthority) => one.fingerprint);
  const parts = [...(noX509 ? [] : [x509]), ...(noJwt ? [] : [jwt])];
  return {
    missing: parts.flatMap(({ missing }) => missing),
    extra: parts.flatMap(({ extra }) => extra),
    reissued: parts.flatMap(({ reissued }) => reissued),
  };
}

/** The worst state among copies; InSync where there is none. */
export function worstOf(judged: readonly JudgedCopy[]): State {
  return STATES.find((state) => judged.some(({ states }) => states.includes(state))) ?? 'InSync';
}

function difference<T extends { readonly fingerprint: string }>(
  copy: readonly T[],
  reference: readonly T[],
  keyOf: (authority: T) => string,
): Difference {
  const held = new Set(copy.map(({ fingerprint }) => fingerprint));
  const wanted = new Set(reference.map(({ fingerprint }) => fingerprint));
  const heldKeys = new Set(copy.map(keyOf));
  const wantedKeys = new Set(reference.map(keyOf));
  const only = copy.filter(({ fingerprint }) => !wanted.has(fingerprint));
  return {
    missing: reference
      .filter((one) => !held.has(one.fingerprint) && !heldKeys.has(keyOf(one)))
      .map(({ fingerprint }) => fingerprint),
    extra: only.filter((one) => !wantedKeys.has(keyOf(one))).map(({ fingerprint }) => fingerprint),
    reissued: only
      .filter((one) => wantedKeys.has(keyOf(one)))
      .map(({ fingerprint }) => fingerprint),
  };
}

function judgeOne(
  copy: BundleCopy,
  trustDomain: string | undefined,
  reference: Reference,
  { nowMs, withinMs }: JudgeOptions,
): JudgedCopy {
  const isReference = copy === reference.x509 || copy === reference.jwt;
  const wanted = wantedOf(reference, copy.content);
  const found = wanted === undefined ? NO_DIFFERENCE : compare(copy.content, wanted);
  const { x509, jwt } = copy.content;
  const tainted = new Set(
    [...(wanted?.x509 ?? []), ...(wanted?.jwt ?? []), ...x509, ...jwt].flatMap((one) =>
      one.tainted ? [one.fingerprint] : [],
    ),
  );
  const endMs = minExpiryMs(copy) ?? Number.POSITIVE_INFINITY;
  const newest = reference.x509?.sequence ?? reference.jwt?.sequence;
  const isStale = copy.sequence !== undefined && newest !== undefined && copy.sequence < newest;
  const is: Readonly<Record<State, boolean>> = {
    Unreadable: copy.problem !== undefined,
    Empty: copy.problem === undefined && x509.length + jwt.length === 0,
    Extra: found.extra.length > 0,
    Expired: endMs <= nowMs,
    Tainted: [...x509, ...jwt].some(({ fingerprint }) => tainted.has(fingerprint)),
    Stale: isStale,
    Missing: found.missing.length > 0,
    Expiring: runsOut(copy.content, nowMs, withinMs),
    Reissued: found.reissued.length > 0,
    InSync: false,
  };
  const none = is.Unreadable || is.Empty;
  const states = STATES.filter((state) => is[state]).filter((_, at) => !none || at === 0);
  return {
    copy,
    trustDomain,
    isReference,
    ...(none ? NO_DIFFERENCE : found),
    states: states.length === 0 ? ['InSync'] : states,
  };
}

const NO_DIFFERENCE: Difference = { missing: [], extra: [], reissued: [] };

/** The reference as one content that holds what the two have. */
function wantedOf({ x509, jwt }: Reference, content: BundleContent): BundleContent | undefined {
  if (x509 === undefined && jwt === undefined) return undefined;
  const form = x509 === undefined ? 'jwks' : jwt === undefined ? 'pem' : 'spiffe';
  return {
    ...content,
    form,
    x509: x509?.content.x509 ?? [],
    jwt: jwt?.content.jwt ?? [],
  };
}

/** Whether a reference means this copy. */
export function isNamed({ place }: BundleCopy, against: string | undefined): boolean {
  return (
    against !== undefined && [refOf(place), refOf(place, true), place.source].includes(against)
  );
}

interface Group {
  readonly trustDomain: string | undefined;
  readonly members: BundleCopy[];
}

/** Copies by trust domain; one that says none goes with the bundle that it shares an authority with. */
function groupsOf(copies: readonly BundleCopy[]): readonly Group[] {
  const groups = new Map<string, Group>();
  const holders = new Map<string, string>();
  const into = (key: string, trustDomain: string | undefined, copy: BundleCopy): void => {
    const group = groups.get(key) ?? { trustDomain, members: [] };
    group.members.push(copy);
    groups.set(key, group);
  };
  for (const copy of copies) {
    const { trustDomain } = copy;
    if (trustDomain === undefined) continue;
    into(trustDomain, trustDomain, copy);
    for (const { keyFingerprint } of copy.content.x509) holders.set(keyFingerprint, trustDomain);
  }
  for (const copy of copies) {
    if (copy.trustDomain !== undefined) continue;
    const shared = copy.content.x509.map(({ keyFingerprint }) => holders.get(keyFingerprint));
    const trustDomain = shared.find((name) => name !== undefined);
    into(trustDomain ?? `\0${copy.place.source}/${copy.place.name}`, trustDomain, copy);
  }
  return [...groups.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

const PREFERRED: readonly BundleCopy['place']['source'][] = ['server', 'endpoint', 'ctb'];

function referenceOf(
  members: readonly BundleCopy[],
  against: string | undefined,
  holds: (copy: BundleCopy) => boolean,
): BundleCopy | undefined {
  const fit = members.filter((copy) => copy.problem === undefined && holds(copy));
  // Other trust domains than that of the copy that is named have references of their own.
  if (members.some((copy) => isNamed(copy, against))) {
    return fit.find((copy) => isNamed(copy, against));
  }
  for (const source of PREFERRED) {
    const found = newestOf(fit.filter(({ place }) => place.source === source));
    if (found !== undefined) return found;
  }
  return newestOf(fit.filter(({ sequence }) => sequence !== undefined)) ?? commonest(fit);
}

/** The one with the highest sequence; of equal ones what most have. */
function newestOf(copies: readonly BundleCopy[]): BundleCopy | undefined {
  const highest = copies.reduce((max, { sequence = 0n }) => (sequence > max ? sequence : max), 0n);
  return commonest(copies.filter(({ sequence = 0n }) => sequence === highest));
}

/** A copy of the content that most have; of equally many the first by place. */
function commonest(copies: readonly BundleCopy[]): BundleCopy | undefined {
  const counts = new Map<string, BundleCopy[]>();
  for (const copy of copies) {
    const key = setKey(copy.content);
    const same = counts.get(key);
    if (same === undefined) counts.set(key, [copy]);
    else same.push(copy);
  }
  const [most] = [...counts.values()].toSorted((a, b) => b.length - a.length);
  return most?.[0];
}

/** The same for two contents that hold the same authorities, in whatever order. */
function setKey({ x509, jwt }: BundleContent): string {
  return [...x509, ...jwt]
    .map(({ fingerprint }) => fingerprint)
    .toSorted()
    .join(' ');
}
