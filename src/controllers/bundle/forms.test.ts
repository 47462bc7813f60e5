import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeJwtKey } from '../../../test/support/jwt.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeLeaf, makeRoot } from '../../../test/support/x509.ts';
import { unwrap } from '../../base/result.ts';
import { textAt, textMapAt } from '../../kube/objects.ts';
import { type Bundle, emptyBundle } from '../../spiffe/bundle.ts';
import { parseSpiffeBundle } from '../../spiffe/bundle-document.ts';
import { parsePemBundle } from '../../spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import { configMapForm, trustBundleForm } from './forms.ts';

const TD = unwrap(parseTrustDomain('example.org'));
const ROOTS = [makeRoot(), makeRoot()];
const LEAF = makeLeaf(ROOTS[0] ?? assert.fail());
const KEY = makeJwtKey('P-256', 'k1');
const SETTINGS = { channel: 'live', draftLabels: false, labels: {}, federated: false } as const;
const MAP = {
  namespace: 'spire',
  name: 'spire-bundle',
  key: 'bundle.crt',
  labels: {},
  federated: false,
} as const;

function bundleOf(
  certificates: readonly Bundle['x509Authorities'][number]['certificate'][],
): Bundle {
  const x509Authorities = certificates.map((certificate) => ({ certificate, tainted: false }));
  return { ...emptyBundle(TD), x509Authorities, jwtAuthorities: [KEY.authority], sequence: 7n };
}

const FULL = bundleOf(ROOTS.map(({ certificate }) => certificate));
const PEM = ROOTS.map(({ pem }) => pem).join('');

test('KEP-3257 a bundle of a signer is named after it', () => {
  const form = trustBundleForm({ ...SETTINGS, signerName: 'example.org/spiffe' }, TD);
  assert.equal(form.name, 'example.org:spiffe:example.org');
  const object = assertValue(form.render(FULL));
  assert.deepEqual(object.spec, { signerName: 'example.org/spiffe', trustBundle: PEM });
});

test('KEP-3257 a bundle of no signer has a name without a colon', () => {
  const under = unwrap(parseTrustDomain('a_b.example'));
  assert.equal(trustBundleForm(SETTINGS, under).name, 'a-b.example');
  const form = trustBundleForm({ ...SETTINGS, name: 'roots' }, TD);
  assert.equal(form.name, 'roots');
  assert.deepEqual(assertValue(form.render(FULL)).spec, { trustBundle: PEM });
});

test('labels say the channel, those of the draft only when asked for', () => {
  const plain = assertValue(trustBundleForm({ ...SETTINGS, labels: { a: 'b' } }, TD).render(FULL));
  const labels = { a: 'b', 'signet.dev/bundle': 'published', 'signet.dev/canarying': 'live' };
  assert.deepEqual(Object.fromEntries(textMapAt(plain, 'metadata', 'labels')), labels);
  const settings = { ...SETTINGS, channel: 'canary', draftLabels: true } as const;
  const draft = assertValue(trustBundleForm(settings, TD).render(FULL));
  assert.deepEqual(Object.fromEntries(textMapAt(draft, 'metadata', 'labels')), {
    'signet.dev/bundle': 'published',
    'signet.dev/canarying': 'canary',
    'k8s.spiffe.io/canarying': 'canary',
    'k8s.spiffe.io/workload-trust-domain': 'example.org',
  });
});

test('KEP-3257 only CA certificates are published, each once', () => {
  const [first = assert.fail(), second = assert.fail()] = ROOTS;
  const certificates = [first, LEAF, second, first].map(({ certificate }) => certificate);
  const object = assertValue(trustBundleForm(SETTINGS, TD).render(bundleOf(certificates)));
  assert.equal(textAt(object, 'spec', 'trustBundle'), PEM);
});

test('KEP-3257 nothing is rendered where no CA certificate is left', () => {
  for (const certificates of [[], [LEAF.certificate]]) {
    const bundle = bundleOf(certificates);
    assertRefused(trustBundleForm(SETTINGS, TD).render(bundle), 'KUBE_BUNDLE_EMPTY');
    assertRefused(configMapForm({ ...MAP, format: 'pem' }, TD).render(bundle), 'KUBE_BUNDLE_EMPTY');
  }
  const none = { ...FULL, jwtAuthorities: [] };
  assertRefused(configMapForm({ ...MAP, format: 'jwks' }, TD).render(none), 'KUBE_BUNDLE_EMPTY');
  const bare = emptyBundle(TD);
  assertRefused(configMapForm({ ...MAP, format: 'spiffe' }, TD).render(bare), 'KUBE_BUNDLE_EMPTY');
});

test('a ConfigMap holds PEM, the SPIFFE document or the JWT keys under its key', () => {
  const text = (format: 'pem' | 'spiffe' | 'jwks'): string => {
    const object = assertValue(configMapForm({ ...MAP, format }, TD).render(FULL));
    assert.deepEqual(Object.fromEntries(textMapAt(object, 'metadata', 'annotations')), {
      'signet.dev/bundle-sequence': '7',
      'signet.dev/trust-domain': 'example.org',
    });
    return textAt(object, 'data', 'bundle.crt') ?? '';
  };
  assert.equal(unwrap(parsePemBundle(TD, text('pem'))).x509Authorities.length, 2);
  const { bundle } = unwrap(parseSpiffeBundle(TD, Buffer.from(text('spiffe'))));
  assert.deepEqual([bundle.sequence, bundle.x509Authorities.length], [7n, 2]);
  const { keys } = JSON.parse(text('jwks'));
  assert.deepEqual(
    keys.map(({ kid }: { kid: string }) => kid),
    ['k1'],
  );
});

test('what is compared is what is ours: nothing that others add, all that they change', () => {
  const form = configMapForm({ ...MAP, format: 'pem', labels: { a: 'b' } }, TD);
  const object = assertValue(form.render(FULL)) as {
    metadata: { labels: object; annotations: object };
    data: object;
  };
  const more = {
    metadata: { ...object.metadata, labels: { ...object.metadata.labels, z: 'z' } },
    data: { ...object.data, other: 'x' },
  };
  assert.equal(form.shown(more), form.shown(object));
  const { metadata } = object;
  for (const changed of [
    { ...object, data: { 'bundle.crt': `${PEM}x` } },
    { ...object, data: {} },
    { ...object, metadata: { ...metadata, labels: {} } },
    { ...object, metadata: { ...metadata, annotations: {} } },
  ]) {
    assert.notEqual(form.shown(changed), form.shown(object));
  }
});
