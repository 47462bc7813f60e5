import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseX509Bundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { ownRenewalMs, readConnectorSvid, verifyConnectorSvid } from './own-svid.ts';

const root = makeRoot();
const NOT_BEFORE_MS = Date.UTC(2030, 0, 1);
const LIFE_MS = 3_600_000;

function read(uri: string, key?: Buffer) {
  const notAfterMs = NOT_BEFORE_MS + LIFE_MS;
  const leaf = makeLeaf(root, uri, { notBeforeMs: NOT_BEFORE_MS, notAfterMs });
  return readConnectorSvid({
    chainDer: [leaf.der],
    privateKeyPkcs8: key ?? leaf.key.privateKey.export({ type: 'pkcs8', format: 'der' }),
    trustDomain: 'example.org',
    group: 'edge',
  });
}

test('only a connector of this group and trust domain is one', () => {
  assertValue(read('spiffe://example.org/connector/edge/c1'));
  for (const uri of [
    'spiffe://example.org/connector/edge',
    'spiffe://example.org/connector/edge/c1/x',
    'spiffe://example.org/connector/edges/c1',
    'spiffe://example.org/connector/db/c1',
    'spiffe://example.org/connectors/edge/c1',
    'spiffe://example.org/x/connector/edge/c1',
    'spiffe://example.net/connector/edge/c1',
  ]) {
    assertRefused(read(uri), 'COMPANION_SERVER_ANSWER');
  }
});

test('a key of another certificate is refused', () => {
  const other = makeLeaf(root).key.privateKey.export({ type: 'pkcs8', format: 'der' });
  assertRefused(read('spiffe://example.org/connector/edge/c1', other), 'COMPANION_SERVER_ANSWER');
});

test('it verifies under its own root, in its time, and is renewed at two thirds of it', () => {
  const svid = assertValue(read('spiffe://example.org/connector/edge/c1'));
  const trustDomain = assertValue(parseTrustDomain('example.org'));
  const own = assertValue(parseX509Bundle(trustDomain, root.der));
  const other = assertValue(parseX509Bundle(trustDomain, makeRoot().der));
  assertValue(verifyConnectorSvid(svid, () => own, NOT_BEFORE_MS));
  assertValue(verifyConnectorSvid(svid, () => own, NOT_BEFORE_MS + LIFE_MS));
  for (const [bundle, atMs] of [
    [own, NOT_BEFORE_MS - 1000],
    [own, NOT_BEFORE_MS + LIFE_MS + 1000],
    [other, NOT_BEFORE_MS],
    [undefined, NOT_BEFORE_MS],
  ] as const) {
    assertRefused(
      verifyConnectorSvid(svid, () => bundle, atMs),
      'COMPANION_SERVER_ANSWER',
    );
  }
  assert.equal(ownRenewalMs(svid), NOT_BEFORE_MS + 2_400_000);
});
