import type { X509Certificate } from 'node:crypto';
import { readCrl } from './crl.ts';
import { SegmentTable } from './match.ts';
import { type Authorities, authoritiesOf } from './spiffe.ts';
import type { BundleUpdate, Segment, SegmentUpdate, TrustBundle } from './wire.ts';

/** Thrown where an update cannot be applied: what was held before stays, and the server gets a Nack. */
export class Unusable extends Error {}

/** What the connector has accepted: trust, revocations, segments, and their versions. */
export class Held {
  readonly #trustDomain: string;
  #authorities: Authorities;
  #revoked: ReadonlySet<string> = new Set();
  #table = new SegmentTable([]);
  #versions = { RESOURCE_TYPE_BUNDLE: '', RESOURCE_TYPE_SEGMENTS: '' };
  #chunks: SegmentUpdate[] = [];

  constructor(trustDomain: string, bundles: readonly TrustBundle[]) {
    this.#trustDomain = trustDomain;
    this.#authorities = authoritiesOf(bundles);
  }

  get authorities(): Authorities {
    return this.#authorities;
  }

  get revoked(): ReadonlySet<string> {
    return this.#revoked;
  }

  get table(): SegmentTable {
    return this.#table;
  }

  /** As Hello and heartbeats state them. */
  versions(): readonly { readonly type: string; readonly version: string }[] {
    return Object.entries(this.#versions)
      .filter(([, version]) => version !== '')
      .map(([type, version]) => ({ type, version }));
  }

  /** Authorities that came otherwise than in a session. */
  trust(bundles: readonly TrustBundle[]): void {
    this.#authorities = authoritiesOf(bundles);
  }

  /** Takes the place of all bundles and of the CRL. */
  takeBundle({ bundles, crl, version }: BundleUpdate): void {
    const authorities = authoritiesOf(bundles);
    const own: readonly X509Certificate[] = authorities.get(this.#trustDomain) ?? [];
    // Without them no server could be known again.
    if (own.length === 0) throw new Unusable(`no authorities of ${this.#trustDomain}`);
    const revoked = crl.length === 0 ? new Set<string>() : readCrl(crl, own);
    if (revoked === undefined) throw new Unusable('the CRL is not by an authority of ours');
    this.#authorities = authorities;
    this.#revoked = revoked;
    this.#versions.RESOURCE_TYPE_BUNDLE = version;
  }

  /** Answers whether the update is whole now; what a chunk holds has no effect before that. */
  takeSegments(update: SegmentUpdate): boolean {
    if (this.#chunks[0]?.version !== update.version) this.#chunks = [];
    this.#chunks.push(update);
    if (!update.last) return false;
    const chunks = this.#chunks;
    this.#chunks = [];
    const [first = update] = chunks;
    const held = this.#versions.RESOURCE_TYPE_SEGMENTS;
    if (!first.full && first.baseVersion !== held) {
      throw new Unusable(`a change of ${first.baseVersion}, but ${held || 'nothing'} is held`);
    }
    const before = first.full ? [] : this.#table.segments;
    const next = new Map<string, Segment>(before.map((segment) => [segment.id, segment]));
    for (const id of chunks.flatMap(({ removedIds }) => removedIds)) next.delete(id);
    for (const segment of chunks.flatMap(({ segments }) => segments)) next.set(segment.id, segment);
    this.#table = new SegmentTable(next.values());
    this.#versions.RESOURCE_TYPE_SEGMENTS = update.version;
    return true;
  }
}
