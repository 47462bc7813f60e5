import { fail, ok, type Result } from '../../base/result.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import { parseSpiffeBundle } from '../../spiffe/bundle-document.ts';
import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../spiffe/trust-domain.ts';
import { checkEndpointUrl, type EndpointProfile } from '../federation.ts';
import { FieldReader, type JsonObject } from './fields.ts';

/** What a ClusterFederatedTrustDomain states. */
export interface StatedDomain {
  readonly trustDomain: TrustDomain;
  readonly bundleEndpointUrl: string;
  readonly profile: EndpointProfile;
  /** To begin with; undefined where it gives none. */
  readonly bundle: Bundle | undefined;
}

/**
 * A ClusterFederatedTrustDomain of spire.spiffe.io/v1alpha1. Fails with RULE_SPEC, FEDERATION_URL,
 * FEDERATION_PROFILE, FEDERATION_OWN_DOMAIN, FEDERATED_BUNDLE_INVALID and the codes of trust domains.
 * @param own Trust domain of the server, with which nobody federates.
 */
export function parseFederatedDomain(spec: JsonObject, own: TrustDomain): Result<StatedDomain> {
  const fields = new FieldReader(spec);
  const profile = fields.object('bundleEndpointProfile');
  const texts = {
    trustDomain: fields.required('trustDomain'),
    url: fields.required('bundleEndpointURL'),
    type: profile?.required('type') ?? '',
    endpointId: profile?.text('endpointSPIFFEID') ?? '',
    bundle: fields.text('trustDomainBundle'),
  };
  if (profile === undefined) fields.refuse('bundleEndpointProfile', 'is missing');
  const answered = fields.answer(texts);
  return answered.ok ? readTexts(answered.value, own) : answered;
}

interface Texts {
  readonly trustDomain: string;
  readonly url: string;
  readonly type: string;
  readonly endpointId: string;
  readonly bundle: string;
}

function readTexts(texts: Texts, own: TrustDomain): Result<StatedDomain> {
  const trustDomain = parseTrustDomain(texts.trustDomain);
  if (!trustDomain.ok) return trustDomain;
  if (trustDomain.value.name === own.name) {
    return fail('FEDERATION_OWN_DOMAIN', `${own.name} is the trust domain of the server itself`);
  }
  const url = checkEndpointUrl(texts.url);
  if (!url.ok) return url;
  const profile = readProfile(texts);
  if (!profile.ok) return profile;
  const bundle = readBundle(trustDomain.value, texts.bundle);
  if (!bundle.ok) return bundle;
  return ok({
    trustDomain: trustDomain.value,
    bundleEndpointUrl: url.value,
    profile: profile.value,
    bundle: bundle.value,
  });
}

function readProfile({ type, endpointId }: Texts): Result<EndpointProfile> {
  const refuse = (why: string) => fail('FEDERATION_PROFILE', `spec.bundleEndpointProfile: ${why}`);
  if (type === 'https_web') {
    if (endpointId === '') return ok({ kind: 'https_web' });
    return refuse('https_web has no endpointSPIFFEID');
  }
  if (type !== 'https_spiffe') return refuse('the type is neither https_web nor https_spiffe');
  const id = parseSpiffeId(endpointId);
  if (!id.ok) return refuse(`endpointSPIFFEID: ${id.error.message}`);
  // Only leaves authenticate, and a leaf has a path (X509-SVID §3.1).
  if (id.value.path === '') return refuse('endpointSPIFFEID has no path');
  return ok({ kind: 'https_spiffe', endpointId: id.value });
}

function readBundle(trustDomain: TrustDomain, text: string): Result<Bundle | undefined> {
  if (text.trim() === '') return ok(undefined);
  const refuse = (why: string) =>
    fail('FEDERATED_BUNDLE_INVALID', `spec.trustDomainBundle: ${why}`);
  const parsed = parseSpiffeBundle(trustDomain, Buffer.from(text));
  if (!parsed.ok) return refuse(parsed.error.message);
  const { bundle, ignored } = parsed.value;
  const usable = bundle.x509Authorities.length + bundle.jwtAuthorities.length;
  // One without keys trusts nothing; one that nobody here can read says nothing.
  return usable === 0 && ignored.length > 0 ? refuse('none of its keys can be read') : ok(bundle);
}
