import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { needsShared, sharedDir } from '../../test/support/shared.ts';
import { ok, type Result } from '../base/result.ts';
import { parseCertificatesPem } from './certificate.ts';
import { OID } from './oids.ts';
import { validatePath } from './path.ts';
import type { Certificate } from './types.ts';

interface LimboCase {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly extended_key_usage: readonly ('serverAuth' | 'clientAuth')[];
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly max_chain_depth: number | null;
}

/** Cases that ask for what this validator does not do, by reason; each of them answers otherwise here. */
const OUT_OF_PROFILE: Readonly<Record<string, readonly string[]>> = {
  'revocation is not looked at: the CRL signer of a later version brings it': [
    'crl::revoked-certificate-with-crl',
    'crl::crlnumber-missing',
    'crl::crlnumber-critical',
    'crl::issuer-missing-crlsign',
  ],
  'fails by comparing a host name with the certificate: peers here have SPIFFE IDs, which src/spiffe compares':
    [
      'rfc5280::ca-as-leaf-wrong-san',
      'webpki::san::mismatch-domain-san',
      'webpki::san::mismatch-subdomain-san',
      'webpki::san::mismatch-subdomain-apex-san',
      'webpki::san::mismatch-apex-subdomain-san',
      'webpki::san::wildcard-match-across-labels-san',
      'webpki::san::no-san',
    ],
  'a rule of the CA/Browser Forum for public web servers, not of RFC 5280': [
    'webpki::aki::root-with-aki-missing-keyidentifier',
    'webpki::aki::root-with-aki-authoritycertissuer',
    'webpki::aki::root-with-aki-authoritycertserialnumber',
    'webpki::aki::root-with-aki-all-fields',
    'webpki::aki::root-with-aki-ski-mismatch',
    'webpki::cn::ipv4-hex-mismatch',
    'webpki::cn::ipv4-leading-zeros-mismatch',
    'webpki::cn::ipv6-uppercase-mismatch',
    'webpki::cn::ipv6-uncompressed-mismatch',
    'webpki::cn::ipv6-non-rfc5952-mismatch',
    'webpki::cn::punycode-not-in-san',
    'webpki::cn::utf8-vs-punycode-mismatch',
    'webpki::cn::not-in-san',
    'webpki::cn::case-mismatch',
    'webpki::eku::ee-anyeku',
    'webpki::eku::ee-critical-eku',
    'webpki::eku::ee-without-eku',
    'webpki::eku::root-has-eku',
    'webpki::nc::permitted-dns-match-noncritical',
    'webpki::san::public-suffix-wildcard-san',
    'webpki::san::public-suffix-multi-label-wildcard-san',
    'webpki::san::public-suffix-private-namespace-wildcard-san',
    'webpki::san::san-critical-with-nonempty-subject',
    'webpki::malformed-aia',
    'webpki::ee-basicconstraints-ca',
    'webpki::ca-as-leaf',
  ],
};

/** Cases in profile that deliberately answer otherwise, each with its reason. At most five. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  'cve::cve-2024-0567':
    'its root is cross-signed and has no authority key identifier, which rfc5280::aki::cross-signed-root-missing-aki wants refused: the stricter of the two is kept',
};

const EKU = { serverAuth: OID.serverAuth, clientAuth: OID.clientAuth };

function parseAll(pems: readonly string[]): Result<Certificate[]> {
  const certificates: Certificate[] = [];
  for (const pem of pems) {
    const parsed = parseCertificatesPem(pem);
    if (!parsed.ok) return parsed;
    certificates.push(...parsed.value);
  }
  return ok(certificates);
}

function judge(limbo: LimboCase): Result<unknown> {
  const chain = parseAll([limbo.peer_certificate, ...limbo.untrusted_intermediates]);
  if (!chain.ok) return chain;
  const roots = parseAll(limbo.trusted_certs);
  if (!roots.ok) return roots;
  const [usage] = limbo.extended_key_usage;
  return validatePath({
    chain: chain.value,
    roots: roots.value,
    atMs: Date.parse(limbo.validation_time ?? '2026-06-01T00:00:00Z'),
    ...(limbo.max_chain_depth === null ? {} : { maxIntermediates: limbo.max_chain_depth }),
    ...(usage === undefined ? {} : { extendedKeyUsage: EKU[usage] }),
  });
}

function readCases(): readonly LimboCase[] {
  const text = readFileSync(join(sharedDir, 'vectors/limbo/limbo.json'), 'utf8');
  return JSON.parse(text).testcases;
}

describe('x509-limbo', () => {
  const outside = new Set(Object.values(OUT_OF_PROFILE).flat());

  it(
    'answers as expected in every case in profile, without an untyped error',
    needsShared('vectors/limbo'),
    () => {
      const wrong: string[] = [];
      for (const limbo of readCases()) {
        const result = judge(limbo);
        const agrees = result.ok === (limbo.expected_result === 'SUCCESS');
        const mayDiffer = outside.has(limbo.id) || limbo.id in DIFFERENCES;
        if (!result.ok && result.error.code === 'INTERNAL') wrong.push(`${limbo.id}: INTERNAL`);
        // A listed case that agrees is a stale row: it goes.
        if (agrees === mayDiffer)
          wrong.push(`${limbo.id}: ${result.ok ? 'ok' : result.error.message}`);
      }
      assert.deepEqual(wrong, []);
    },
  );

  it(
    'has at most five differences in profile, and none that accepts more',
    needsShared('vectors/limbo'),
    () => {
      const cases = new Map(readCases().map((limbo) => [limbo.id, limbo]));
      assert.ok(Object.keys(DIFFERENCES).length <= 5);
      for (const id of Object.keys(DIFFERENCES)) {
        assert.equal(cases.get(id)?.expected_result, 'SUCCESS', id);
      }
      for (const id of outside) assert.ok(cases.has(id), id);
    },
  );
});
