import type { JudgedCopy } from './judge.ts';
import { type JwtAuthority, refOf, type X509Authority } from './model.ts';
import { areSeveral } from './view.ts';

/** One authority over all copies that could hold it. */
export interface HeldAuthority<T> {
  readonly authority: T;
  readonly tainted: boolean;
  /** References of the copies that hold it, and of those that do not. */
  readonly heldBy: readonly string[];
  readonly lackedBy: readonly string[];
}

/** The authorities of some copies, each once, in the order in which they are met. */
export interface Authorities {
  readonly x509: readonly HeldAuthority<X509Authority>[];
  readonly jwt: readonly HeldAuthority<JwtAuthority>[];
}

/** Turns copies around: which authority stands in which of them. */
export function authoritiesOf(judged: readonly JudgedCopy[]): Authorities {
  const readable = judged.filter(({ copy }) => copy.problem === undefined);
  const x509 = readable.filter(({ copy }) => copy.content.form !== 'jwks');
  const jwt = readable.filter(({ copy }) => copy.content.form !== 'pem');
  return {
    x509: heldOf(x509, ({ copy }) => copy.content.x509),
    jwt: heldOf(jwt, ({ copy }) => copy.content.jwt),
  };
}

function heldOf<T extends { readonly fingerprint: string; readonly tainted: boolean }>(
  judged: readonly JudgedCopy[],
  listOf: (one: JudgedCopy) => readonly T[],
): readonly HeldAuthority<T>[] {
  const found = new Map<string, { authority: T; tainted: boolean; holders: Set<JudgedCopy> }>();
  for (const one of judged) {
    for (const authority of listOf(one)) {
      const { fingerprint } = authority;
      const held = found.get(fingerprint) ?? { authority, tainted: false, holders: new Set() };
      held.holders.add(one);
      held.tainted ||= authority.tainted;
      found.set(fingerprint, held);
    }
  }
  const several = areSeveral(judged);
  const nameOf = ({ copy: { place } }: JudgedCopy): string =>
    several && place.context !== '' ? `${place.context}@${refOf(place)}` : refOf(place);
  return [...found.values()].map(({ authority, tainted, holders }) => ({
    authority,
    tainted,
    heldBy: judged.filter((one) => holders.has(one)).map(nameOf),
    lackedBy: judged.filter((one) => !holders.has(one)).map(nameOf),
  }));
}
