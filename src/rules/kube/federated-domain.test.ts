import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeRoot } from '../../../test/support/x509.ts';
import { unwrap } from '../../base/result.ts';
import { emptyBundle } from '../../spiffe/bundle.ts';
import { formatSpiffeBundle } from '../../spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import { parseFederatedDomain } from './federated-domain.ts';

const OWN = unwrap(parseTrustDomain('example.org'));
const OTHER = unwrap(parseTrustDomain('other.test'));
const WEB = {
  trustDomain: 'other.test',
  bundleEndpointURL: 'https://other.test/bundle',
  bundleEndpointProfile: { type: 'https_web' },
};
const ENDPOINT = 'spiffe://other.test/spire/server';
const SPIFFE = {
  ...WEB,
  bundleEndpointProfile: { type: 'https_spiffe', endpointSPIFFEID: ENDPOINT },
};
const { certificate } = makeRoot('other.test');
const BUNDLE = Buffer.from(
  unwrap(
    formatSpiffeBundle({
      ...emptyBundle(OTHER),
      x509Authorities: [{ certificate, tainted: false }],
      sequence: 7n,
    }),
  ),
).toString();

describe('a ClusterFederatedTrustDomain', () => {
  it('states an endpoint, its profile and a bundle to begin with', () => {
    assert.deepEqual(assertValue(parseFederatedDomain(WEB, OWN)), {
      trustDomain: OTHER,
      bundleEndpointUrl: 'https://other.test/bundle',
      profile: { kind: 'https_web' },
      bundle: undefined,
    });
    const spiffe = assertValue(
      parseFederatedDomain({ ...SPIFFE, className: 'x', trustDomainBundle: BUNDLE }, OWN),
    );
    assert.equal(spiffe.profile.kind === 'https_spiffe' && spiffe.profile.endpointId.uri, ENDPOINT);
    assert.equal(spiffe.bundle?.sequence, 7n);
  });

  const profile = (type: unknown, endpointSPIFFEID?: unknown) => ({
    bundleEndpointProfile: { type, endpointSPIFFEID },
  });
  for (const [what, changed, code] of [
    ['without a trust domain', { trustDomain: undefined }, 'RULE_SPEC'],
    ['with a number for a trust domain', { trustDomain: 1 }, 'RULE_SPEC'],
    ['of what is no trust domain', { trustDomain: 'Other.test' }, 'TRUST_DOMAIN_CHARACTER'],
    ['of our own trust domain', { trustDomain: 'example.org' }, 'FEDERATION_OWN_DOMAIN'],
    ['of our own, as an ID', { trustDomain: 'spiffe://example.org' }, 'FEDERATION_OWN_DOMAIN'],
    ['without a URL', { bundleEndpointURL: '' }, 'RULE_SPEC'],
    ['with http', { bundleEndpointURL: 'http://other.test' }, 'FEDERATION_URL'],
    ['with user information', { bundleEndpointURL: 'https://a:b@other.test' }, 'FEDERATION_URL'],
    ['without a profile', { bundleEndpointProfile: undefined }, 'RULE_SPEC'],
    ['without a type', profile(''), 'RULE_SPEC'],
    ['with another type', profile('https'), 'FEDERATION_PROFILE'],
    ['https_web with an ID', profile('https_web', ENDPOINT), 'FEDERATION_PROFILE'],
    ['https_spiffe without an ID', profile('https_spiffe'), 'FEDERATION_PROFILE'],
    [
      'https_spiffe, an ID without a path',
      profile('https_spiffe', 'spiffe://other.test'),
      'FEDERATION_PROFILE',
    ],
    [
      'with a bundle that is no JSON',
      { trustDomainBundle: '-----BEGIN' },
      'FEDERATED_BUNDLE_INVALID',
    ],
    [
      'with a bundle of unknown keys',
      { trustDomainBundle: '{"keys":[{"kty":"x"}]}' },
      'FEDERATED_BUNDLE_INVALID',
    ],
  ] as const) {
    it(`${what} is refused`, () => {
      assertRefused(parseFederatedDomain({ ...WEB, ...changed }, OWN), code);
    });
  }
});
