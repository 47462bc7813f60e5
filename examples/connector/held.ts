import type { X509Certificate } from 'node:crypto';
import { readCrl } from './crl.ts';
import { SegmentTable } from './match.ts';
import { type Authorities, authoritiesOf } from './spiffe.ts';
import type { BundleUpdate, Segment, SegmentUpdate, TrustBundle } from './wire.ts';

/** Thrown where an update cannot be applied: what was held before stays, and the server gets a Nack. */
export class Unusable extends Error {}

/** Most segments that are held, and most names in one update. */
const MAX_SEGMENTS = 100_000;

/** Most bytes of one update, all its chunks together. */
const MAX_UPDATE_BYTES = 64 * 1024 * 1024;

/** An update of which the last chunk has not come. */
interface Pending {
  readonly of: SegmentUpdate;
  readonly segments: Segment[];
  readonly removedIds: string[];
  bytes: number;
  /** It was refused: the rest of it is passed over. */
  refused: boolean;
}

/** What the connector has accepted: trust, revocations, segments, and their versions. */
export class Held {
  readonly #trustDomain: string;
  #authorities: Authorities;
  #revoked: ReadonlySet<string> = new Set();
  #table = new SegmentTable([]);
  #versions = { RESOURCE_TYPE_BUNDLE: '', RESOURCE_TYPE_SEGMENTS: '' };
  #pending: Pending | undefined;

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

  /**
   * Answers whether the update is whole now; what a chunk holds has no effect before that.
   * @param bytes Length of the chunk as it came.
   */
  takeSegments(update: SegmentUpdate, bytes: number): boolean {
    const pending = this.#collect(update);
    if (update.last) this.#pending = undefined;
    if (pending.refused) return false;
    pending.bytes += bytes;
    const names = Math.max(
      pending.segments.length + update.segments.length,
      pending.removedIds.length + update.removedIds.length,
    );
    if (pending.bytes > MAX_UPDATE_BYTES || names > MAX_SEGMENTS) {
      if (!update.last) this.#pending = { ...emptyUpdate(update), refused: true };
      throw new Unusable('more segments than this connector holds');
    }
    for (const segment of update.segments) pending.segments.push(segment);
    for (const id of update.removedIds) pending.removedIds.push(id);
    if (update.last) this.#apply(pending);
    return update.last;
  }

  /** Forgets chunks of an update that broke off with its session. */
  reset(): void {
    this.#pending = undefined;
  }

  /** What came of this update so far. Another version, or the same sent once more, begins anew. */
  #collect(update: SegmentUpdate): Pending {
    if (this.#pending === undefined || !isSame(this.#pending.of, update)) {
      this.#pending = emptyUpdate(update);
    }
    return this.#pending;
  }

  #apply({ of: { full, baseVersion, version }, segments, removedIds }: Pending): void {
    const held = this.#versions.RESOURCE_TYPE_SEGMENTS;
    if (!full && baseVersion !== held) {
      throw new Unusable(`a change of ${baseVersion}, but ${held || 'nothing'} is held`);
    }
    const before = full ? [] : this.#table.segments;
    const next = new Map<string, Segment>(before.map((segment) => [segment.id, segment]));
    for (const id of removedIds) next.delete(id);
    for (const segment of segments) next.set(segment.id, segment);
    if (next.size > MAX_SEGMENTS) throw new Unusable('more segments than this connector holds');
    this.#table = new SegmentTable(next.values());
    this.#versions.RESOURCE_TYPE_SEGMENTS = version;
  }
}

function emptyUpdate(update: SegmentUpdate): Pending {
  const of = { ...update, segments: [], removedIds: [] };
  return { of, segments: [], removedIds: [], bytes: 0, refused: false };
}

function isSame(a: SegmentUpdate, { version, full, nonce }: SegmentUpdate): boolean {
  return a.version === version && a.full === full && a.nonce.equals(nonce);
}
