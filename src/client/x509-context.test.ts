import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { testDomain, wireResponse, wireSvid } from '../../test/support/workload-response.ts';
import type { X509SVID } from '../gen/workload.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { bundlesOf, readX509Context } from './x509-context.ts';

const own = testDomain('example.org');
const other = testDomain('other.test');
const web = wireSvid(own, '/web');
const empty = Buffer.alloc(0);

test('WLAPI-14 the first SVID is the default one, in the order sent', () => {
  const context = assertValue(readX509Context(wireResponse([wireSvid(own, '/b'), web])));
  assert.deepEqual(
    context.svids.map(({ id }) => id.path),
    ['/b', '/web'],
  );
});

test('WLAPI-12 of two SVIDs with one hint the first is taken; without hints both', () => {
  const read = (hint: string) => {
    const svids = [wireSvid(own, '/a', { hint }), wireSvid(own, '/b', { hint })];
    return assertValue(readX509Context(wireResponse(svids))).svids.map(({ id }) => id.path);
  };
  assert.deepEqual(read('internal'), ['/a']);
  assert.deepEqual(read(''), ['/a', '/b']);
});

test('WLAPI-31 bundles are found by trust domain, and only those sent', () => {
  const context = assertValue(readX509Context(wireResponse([web], [other])));
  const bundles = bundlesOf(context);
  for (const domain of [own, other]) {
    const found = bundles(assertValue(parseTrustDomain(domain.name)));
    assert.deepEqual(found?.x509Authorities[0]?.certificate.der, domain.root.certificate.der);
  }
  assert.equal(bundles(assertValue(parseTrustDomain('third.test'))), undefined);
});

const hostile: readonly (readonly [string, readonly X509SVID[]])[] = [
  ['no SVID', []],
  ['an SVID without SPIFFE ID', [{ ...web, spiffeId: '' }]],
  ['an SVID without certificate', [{ ...web, x509Svid: empty }]],
  ['an SVID without key', [{ ...web, x509SvidKey: empty }]],
  ['an SVID without bundle', [{ ...web, bundle: empty }]],
  ['the key of another certificate', [{ ...web, x509SvidKey: wireSvid(own, '/x').x509SvidKey }]],
  ['another SPIFFE ID than the certificate', [{ ...web, spiffeId: 'spiffe://example.org/admin' }]],
  [
    'a certificate that goes on after its end',
    [{ ...web, x509Svid: Buffer.concat([web.x509Svid, Buffer.from([0])]) }],
  ],
  [
    'a bundle that goes on after its end',
    [{ ...web, bundle: Buffer.concat([web.bundle, Buffer.from([0])]) }],
  ],
  ['one good SVID and a bad one', [web, { ...web, x509SvidKey: empty }]],
];

for (const [name, svids] of hostile) {
  test(`WLAPI-9 discards a response with ${name}`, () => {
    assertRefused(readX509Context(wireResponse(svids)), 'WORKLOAD_RESPONSE_INVALID');
  });
}

for (const [name, key, bundle] of [
  ['an empty federated bundle', 'spiffe://other.test', empty],
  [
    'a federated bundle of no trust domain',
    'spiffe://other.test/path',
    Buffer.from(other.root.der),
  ],
] as const) {
  test(`WLAPI-9 discards a response with ${name}`, () => {
    const response = { ...wireResponse([web]), federatedBundles: { [key]: bundle } };
    assertRefused(readX509Context(response), 'WORKLOAD_RESPONSE_INVALID');
  });
}

test('WLAPI-37 the own bundle wins over a federated one of the same trust domain', () => {
  const impostor = testDomain('example.org');
  const context = assertValue(readX509Context(wireResponse([web], [impostor])));
  const [authority] = context.bundles.get('example.org')?.x509Authorities ?? [];
  assert.deepEqual(authority?.certificate.der, own.root.certificate.der);
});
