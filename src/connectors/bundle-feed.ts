import { createHash } from 'node:crypto';
import {
  BundleUpdate,
  ServerMessage,
  type TrustBundle,
} from '../gen/signet/connector/v1/connector.ts';
import type { FederationView } from '../registry/federation.ts';
import { Encoded } from '../rpc/service.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { SegmentVersion } from './segment-feed.ts';
import { toTrustBundle } from './trust-bundles.ts';

/** Where bundles come from. */
export interface BundleSources {
  readonly registry: {
    /** Of the own trust domain; undefined before the first one. */
    readonly bundle: Bundle | undefined;
    readonly federation: Pick<FederationView, 'bundle'>;
  };
  /** The CRL, where connectors are given one. */
  readonly crl: { readonly current: { readonly der: Uint8Array } | undefined } | undefined;
}

/** The bundles that connectors of a group need, encoded once for all that need the same. */
export interface BundleMessage {
  readonly version: string;
  readonly nonce: Buffer;
  readonly encoded: Encoded;
}

/** Messages that are kept; past it the longest unused one is made again. */
const MAX_MESSAGES = 64;

/** Worked out once for each segment that the registry holds. */
const namesOfSegments = new WeakMap<ConnectorSegment, readonly string[]>();

const namesOfVersions = new WeakMap<SegmentVersion, readonly string[]>();

/**
 * Bundles for connectors: of the own trust domain, and of those that clients or targets of their group's
 * segments are of.
 */
export class BundleFeed {
  readonly #sources: BundleSources;
  /** By the names of the other trust domains; forgotten at every change of a source. */
  readonly #messages = new Map<string, BundleMessage>();

  constructor(sources: BundleSources) {
    this.#sources = sources;
  }

  /** Undefined while the server has no bundle. */
  of(segments: SegmentVersion): BundleMessage | undefined {
    const { bundle } = this.#sources.registry;
    if (bundle === undefined) return undefined;
    const { federation } = this.#sources.registry;
    const named = otherTrustDomains(segments, bundle.trustDomain.name);
    // Whoever writes segments may name any trust domain: what no bundle is here for makes no difference.
    const names = named.filter((name) => federation.bundle(name) !== undefined);
    const key = names.join(' ');
    const message = this.#messages.get(key) ?? this.#make(bundle, names);
    this.#messages.delete(key);
    this.#messages.set(key, message);
    const oldest = this.#messages.keys().next();
    if (this.#messages.size > MAX_MESSAGES && !oldest.done) this.#messages.delete(oldest.value);
    return message;
  }

  /** Notes that a bundle or the CRL changed. */
  changed(): void {
    this.#messages.clear();
  }

  #make(own: Bundle, names: readonly string[]): BundleMessage {
    const { registry, crl } = this.#sources;
    const bundles: TrustBundle[] = [];
    const others = names.map((name) => registry.federation.bundle(name)?.bundle);
    for (const bundle of [own, ...others]) {
      // One that cannot be written down as a JWK set would keep the others from all connectors.
      const wire = bundle === undefined ? undefined : toTrustBundle(bundle);
      if (wire?.ok) bundles.push(wire.value);
    }
    const content = { bundles, crl: Buffer.from(crl?.current?.der ?? []) };
    const unnamed = BundleUpdate.encode({ ...content, version: '', nonce: Buffer.alloc(0) });
    const digest = createHash('sha256').update(unnamed.finish()).digest();
    const version = `${own.sequence}-${digest.toString('hex', 0, 8)}`;
    const nonce = digest.subarray(8, 16);
    const value = { ...content, version, nonce };
    const bytes = ServerMessage.encode({ kind: { $case: 'bundle', value } }).finish();
    return { version, nonce, encoded: new Encoded(Buffer.from(bytes)) };
  }
}

function otherTrustDomains(segments: SegmentVersion, own: string): readonly string[] {
  const known = namesOfVersions.get(segments);
  if (known !== undefined) return known;
  const names = new Set<string>();
  for (const segment of segments.served.values()) {
    for (const name of trustDomainsOf(segment)) names.add(name);
  }
  names.delete(own);
  const sorted = [...names].sort();
  namesOfVersions.set(segments, sorted);
  return sorted;
}

function trustDomainsOf(segment: ConnectorSegment): readonly string[] {
  const known = namesOfSegments.get(segment);
  if (known !== undefined) return known;
  const names = new Set<string>();
  for (const text of [...segment.clients, segment.upstreamId]) {
    const id = parseSpiffeId(text.endsWith('/*') ? text.slice(0, -2) : text);
    if (id.ok) names.add(id.value.trustDomain.name);
  }
  const kept = [...names];
  namesOfSegments.set(segment, kept);
  return kept;
}
