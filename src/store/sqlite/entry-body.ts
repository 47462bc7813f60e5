/**
 * What of an entry is not a column of its own: an array, in this order, which never changes. New facts
 * are appended, and absent in rows that were written before them.
 */
export type EntryBody = readonly [
  selectors: readonly (readonly [type: string, value: string])[],
  x509SvidTtlSeconds: number,
  jwtSvidTtlSeconds: number,
  federatesWith: readonly string[],
  flags: number,
  dnsNames: readonly string[],
  hint: string,
];

const FEDERATES_WITH = 3;

/** The trust domains (bare names) that an encoded entry federates with. */
export function federatesWithOf(body: string): readonly string[] {
  // Bodies are made by this program alone, in this shape.
  return (JSON.parse(body) as EntryBody)[FEDERATES_WITH];
}

/** The encoded entry without one of the trust domains that it federates with. */
export function withoutFederation(body: string, trustDomain: string): string {
  const parts: unknown[] = JSON.parse(body);
  parts[FEDERATES_WITH] = federatesWithOf(body).filter((name) => name !== trustDomain);
  return JSON.stringify(parts);
}
