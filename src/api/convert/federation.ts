import { fail, ok, type Result } from '../../base/result.ts';
import type { FederationRelationship } from '../../gen/spire/api/types/federationrelationship.ts';
import { checkEndpointUrl, type EndpointProfile, type Federation } from '../../rules/federation.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { fromWireBundle, toWireBundle } from './bundles.ts';
import { inField } from './ids.ts';

/** What a message says of a relationship, its trust domain apart. */
export interface StatedFederation {
  readonly bundleEndpointUrl: string;
  readonly profile: EndpointProfile;
  readonly bundle: Bundle | undefined;
}

/** A relationship in its wire form, whole, with the bundle that is held. */
export function toWireFederation(
  federation: Federation,
  bundle: Bundle | undefined,
): FederationRelationship {
  const { trustDomain, bundleEndpointUrl, profile } = federation;
  return {
    trustDomain: trustDomain.name,
    bundleEndpointUrl,
    bundleEndpointProfile:
      profile.kind === 'https_web'
        ? { $case: 'httpsWeb', value: {} }
        : { $case: 'httpsSpiffe', value: { endpointSpiffeId: profile.endpointId.uri } },
    trustDomainBundle: bundle && toWireBundle(bundle),
  };
}

/** Reads a relationship that somebody states. */
export function fromWireFederation(
  trustDomain: TrustDomain,
  message: FederationRelationship,
): Result<StatedFederation> {
  const bundleEndpointUrl = checkEndpointUrl(message.bundleEndpointUrl);
  if (!bundleEndpointUrl.ok) return bundleEndpointUrl;
  const profile = readProfile(message);
  if (!profile.ok) return profile;
  const bundle = readBundle(trustDomain, message);
  if (!bundle.ok) return bundle;
  return ok({
    bundleEndpointUrl: bundleEndpointUrl.value,
    profile: profile.value,
    bundle: bundle.value,
  });
}

function readProfile({
  bundleEndpointProfile: stated,
}: FederationRelationship): Result<EndpointProfile> {
  if (stated === undefined) {
    return fail(
      'FEDERATION_PROFILE',
      'bundle_endpoint_profile is neither https_web nor https_spiffe',
    );
  }
  if (stated.$case === 'httpsWeb') return ok({ kind: 'https_web' });
  const endpointId = parseSpiffeId(stated.value.endpointSpiffeId);
  if (!endpointId.ok) {
    return fail('FEDERATION_PROFILE', `endpoint_spiffe_id: ${endpointId.error.message}`);
  }
  // Only leaves authenticate, and a leaf has a path (X509-SVID §3.1).
  if (endpointId.value.path === '') {
    return fail('FEDERATION_PROFILE', 'endpoint_spiffe_id has no path');
  }
  return ok({ kind: 'https_spiffe', endpointId: endpointId.value });
}

function readBundle(
  trustDomain: TrustDomain,
  { trustDomainBundle }: FederationRelationship,
): Result<Bundle | undefined> {
  if (trustDomainBundle === undefined) return ok(undefined);
  const bundle = fromWireBundle(trustDomainBundle);
  if (!bundle.ok) return inField(bundle.error, 'trust_domain_bundle');
  if (bundle.value.trustDomain.name === trustDomain.name) return bundle;
  return fail(
    'FEDERATION_BUNDLE_DOMAIN',
    `the bundle is of ${bundle.value.trustDomain.name}, the relationship with ${trustDomain.name}`,
  );
}
