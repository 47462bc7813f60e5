import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo } from '../../cli/spec.ts';
import { fetchBundle } from '../../federation/fetch-bundle.ts';
import { type KubeObject, metaOf, textAt } from '../../kube/objects.ts';
import type { KubeResource } from '../../kube/resource.ts';
import { checkEndpointUrl, type EndpointProfile, type Federation } from '../../rules/federation.ts';
import { type Bundle, emptyBundle } from '../../spiffe/bundle.ts';
import { parseSpiffeBundle } from '../../spiffe/bundle-document.ts';
import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../spiffe/trust-domain.ts';
import { type Cluster, eachObject, readObject } from '../clusters.ts';
import { type ContentReader, contentOf } from '../content.ts';
import type { BundleContent, BundleCopy } from '../model.ts';
import { configMapCopies } from './config-maps.ts';
import { outsideCopy } from './outside.ts';
import { trustBundleCopies } from './trust-bundles.ts';

/** Relationships as spire-controller-manager has them. */
const RELATIONSHIPS: KubeResource = {
  group: 'spire.spiffe.io',
  version: 'v1alpha1',
  plural: 'clusterfederatedtrustdomains',
};

const TIMEOUT_MS = 10_000;

/** A relationship that a cluster states, as far as it can be read. */
export interface Relationship {
  readonly context: string;
  readonly name: string;
  readonly trustDomain: string;
  readonly profile: string;
  readonly url: string;
  /** Undefined where it cannot be followed, and why. */
  readonly federation: Result<Federation>;
  /** The bundle that the object brings for the first fetch; undefined where it brings none. */
  readonly initial: Bundle | undefined;
}

/** The relationships of a cluster; none where it does not know the kind. Errors: KUBE_*. */
export async function relationshipsOf(cluster: Cluster): Promise<Result<readonly Relationship[]>> {
  const found: Relationship[] = [];
  const listed = await eachObject(cluster, RELATIONSHIPS, { label: cluster.selector }, (object) => {
    found.push(relationshipOf(object, cluster.context));
  });
  if (!listed.ok && listed.error.code !== 'KUBE_NOT_FOUND') return listed;
  return ok(found);
}

function relationshipOf(object: KubeObject, context: string): Relationship {
  const text = (...keys: readonly string[]): string => textAt(object, 'spec', ...keys) ?? '';
  const trustDomain = parseTrustDomain(text('trustDomain'));
  const document = text('trustDomainBundle');
  const initial =
    trustDomain.ok && document !== ''
      ? parseSpiffeBundle(trustDomain.value, Buffer.from(document))
      : undefined;
  return {
    context,
    name: metaOf(object).name,
    trustDomain: text('trustDomain'),
    profile: text('bundleEndpointProfile', 'type'),
    url: text('bundleEndpointURL'),
    federation: trustDomain.ok ? federationOf(trustDomain.value, text) : trustDomain,
    initial: initial?.ok === true ? initial.value.bundle : undefined,
  };
}

function federationOf(
  trustDomain: TrustDomain,
  text: (...keys: readonly string[]) => string,
): Result<Federation> {
  const url = checkEndpointUrl(text('bundleEndpointURL'));
  if (!url.ok) return url;
  const profile = profileOf(
    text('bundleEndpointProfile', 'type'),
    text('bundleEndpointProfile', 'endpointSPIFFEID'),
  );
  if (!profile.ok) return profile;
  const facts = { profile: profile.value, origin: '', revision: 1n };
  return ok({ trustDomain, bundleEndpointUrl: url.value, ...facts });
}

function profileOf(type: string, id: string): Result<EndpointProfile> {
  if (type === 'https_web') return ok({ kind: 'https_web' });
  if (type !== 'https_spiffe') {
    return fail('TRUST_UNREADABLE', 'bundleEndpointProfile is neither https_web nor https_spiffe');
  }
  const endpointId = parseSpiffeId(id);
  return endpointId.ok ? ok({ kind: 'https_spiffe', endpointId: endpointId.value }) : endpointId;
}

/**
 * Fetches what the endpoint of a relationship says now. An https_spiffe endpoint is known by `held`, what the
 * cluster holds of its trust domain, else by what the object brings. Errors: FEDERATION_*.
 */
export async function fetchRelationship(
  { federation, initial }: Relationship,
  held: (trustDomain: string) => BundleContent | undefined,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Result<BundleContent>> {
  if (!federation.ok) return federation;
  const { profile } = federation.value;
  const known =
    profile.kind === 'https_spiffe' ? bundleFor(profile.endpointId.trustDomain, held) : undefined;
  const parts = { clock, timeoutMs: TIMEOUT_MS, webRoots: undefined, signal };
  const first = await fetchBundle(federation.value, known ?? initial, parts);
  return first.ok ? ok(contentOf(first.value.bundle)) : first;
}

function bundleFor(
  trustDomain: TrustDomain,
  held: (trustDomain: string) => BundleContent | undefined,
): Bundle | undefined {
  const content = held(trustDomain.name);
  if (content === undefined || content.x509.length === 0) return undefined;
  return { ...emptyBundle(trustDomain), x509Authorities: content.x509 };
}

/**
 * What the endpoint of one relationship says now; it is known by the copies of the namespace of the cluster
 * that are asked for. Errors: KUBE_*, FEDERATION_*.
 */
export async function relationshipCopy(
  cluster: Cluster,
  name: string,
  { clock }: Pick<CliIo, 'clock'>,
  read: ContentReader,
): Promise<Result<BundleCopy>> {
  const object = await readObject(cluster, RELATIONSHIPS, name);
  if (!object.ok) return object;
  const [bundles, maps] = await Promise.all([
    trustBundleCopies(cluster, read),
    configMapCopies(cluster, read),
  ]);
  const copies = [...(bundles.ok ? bundles.value : []), ...maps];
  const held = (domain: string): BundleContent | undefined =>
    copies.find((copy) => copy.trustDomain === domain && copy.content.x509.length > 0)?.content;
  const relationship = relationshipOf(object.value, cluster.context);
  const { signal } = new AbortController();
  const content = await fetchRelationship(relationship, held, { clock, signal });
  if (!content.ok) return content;
  const { context } = cluster;
  return ok(outsideCopy('federation', name, content.value, { context }));
}
