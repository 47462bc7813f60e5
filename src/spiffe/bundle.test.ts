import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jwtBundle, makeJwtKey } from '../../test/support/jwt.ts';
import { makeRoot } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import {
  type Bundle,
  emptyBundle,
  sameBundleContents,
  withX509Authority,
  x509Roots,
} from './bundle.ts';
import { parseTrustDomain } from './trust-domain.ts';

const TD = unwrap(parseTrustDomain('td'));
const ROOT_1 = { certificate: makeRoot('td').certificate, tainted: false };
const ROOT_2 = { certificate: makeRoot('td').certificate, tainted: false };
const KEY_1 = makeJwtKey('P-256', 'k1').authority;
const KEY_2 = makeJwtKey('P-256', 'k2').authority;

function bundleOf(change: Partial<Bundle> = {}): Bundle {
  return { ...emptyBundle(TD), x509Authorities: [ROOT_1], jwtAuthorities: [KEY_1], ...change };
}

test('an authority is added at the end, and replaced in its place', () => {
  const both = withX509Authority(bundleOf(), ROOT_2);
  assert.deepEqual(x509Roots(both), [ROOT_1.certificate, ROOT_2.certificate]);
  const tainted = withX509Authority(both, { ...ROOT_1, tainted: true });
  assert.deepEqual(
    tainted.x509Authorities.map((authority) => authority.tainted),
    [true, false],
  );
});

test('BUNDLE-4 equal contents in another order, and with another sequence, are the same', () => {
  const a = bundleOf({ x509Authorities: [ROOT_1, ROOT_2], jwtAuthorities: [KEY_1, KEY_2] });
  const b = bundleOf({
    x509Authorities: [ROOT_2, ROOT_1],
    jwtAuthorities: [KEY_2, KEY_1],
    sequence: 9n,
  });
  assert.ok(sameBundleContents(a, b));
});

for (const [name, change] of [
  ['another trust domain', { trustDomain: unwrap(parseTrustDomain('td2')) }],
  ['another refresh hint', { refreshHintSeconds: 1 }],
  ['one root more', { x509Authorities: [ROOT_1, ROOT_2] }],
  ['another root', { x509Authorities: [ROOT_2] }],
  ['a root less', { x509Authorities: [] }],
  ['a tainted root', { x509Authorities: [{ ...ROOT_1, tainted: true }] }],
  ['another key', { jwtAuthorities: [KEY_2] }],
  ['a renamed key', { jwtAuthorities: [{ ...KEY_1, keyId: 'k9' }] }],
  ['a tainted key', { jwtAuthorities: [{ ...KEY_1, tainted: true }] }],
  ['another expiry', { jwtAuthorities: [{ ...KEY_1, expiresAtSeconds: 1 }] }],
  ['a key bound to an algorithm', { jwtAuthorities: [{ ...KEY_1, algorithm: 'ES256' }] }],
  ['other bits under the same id', { jwtAuthorities: [{ ...KEY_2, keyId: 'k1' }] }],
] as const) {
  test(`BUNDLE-4 ${name} is a change of contents`, () => {
    assert.ok(!sameBundleContents(bundleOf(), bundleOf(change)));
  });
}

test('a key that was read once for validation does not make a bundle differ', () => {
  const key = makeJwtKey('P-256', 'k');
  const fresh = jwtBundle(TD, [{ ...key, authority: { ...key.authority } }]);
  const used = jwtBundle(TD, [key]);
  assert.ok(sameBundleContents(fresh, used));
});
