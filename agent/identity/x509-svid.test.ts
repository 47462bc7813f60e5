import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { parseSpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeIntermediate, makeKey, makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { readX509Svid, renewalTime } from './x509-svid.ts';

const ID = assertValue(parseSpiffeId('spiffe://example.org/workload'));
const NOW_MS = Date.UTC(2030, 0, 1);
const KEY = makeKey();
const ROOT = makeRoot();

function check(chain: readonly Uint8Array[], nowMs = NOW_MS) {
  return readX509Svid({
    chain,
    spiffeId: ID,
    key: {
      privateKeyPkcs8: Buffer.alloc(1),
      publicKeySpki: Buffer.from(KEY.spki),
      csr: Buffer.alloc(0),
    },
    nowMs,
    random: seededRandom(1),
  });
}

test('WLAPI-17 X509-25 the chain is the DER of leaf and intermediates, in order', () => {
  const middle = makeIntermediate(ROOT);
  const leaf = makeLeaf(middle, ID.uri, { key: KEY });
  const svid = assertValue(check([leaf.der, middle.der]));
  assert.deepEqual(Buffer.from(svid.chain), Buffer.concat([leaf.der, middle.der]));
  assert.deepEqual(svid.authorityKeyIds, [
    Buffer.from(middle.keyId).toString('hex'),
    Buffer.from(ROOT.keyId).toString('hex'),
  ]);
});

test('an SVID that a client library would refuse is not taken over from the server', () => {
  const refused: readonly [string, readonly Uint8Array[]][] = [
    ['no certificate', []],
    ['not DER', [Buffer.from('-----BEGIN CERTIFICATE-----')]],
    ['another ID', [makeLeaf(ROOT, 'spiffe://example.org/other', { key: KEY }).der]],
    ['another key', [makeLeaf(ROOT, ID.uri).der]],
    ['X509-7 a CA', [makeLeaf(ROOT, ID.uri, { key: KEY, ca: true }).der]],
    ['X509-9 no key usage', [makeLeaf(ROOT, ID.uri, { key: KEY, keyUsage: null }).der]],
    ['X509-2 two URIs', [makeLeaf(ROOT, ID.uri, { key: KEY, uris: [ID.uri, ID.uri] }).der]],
    [
      'X509-25 out of order',
      [makeIntermediate(ROOT).der, makeLeaf(makeIntermediate(ROOT), ID.uri, { key: KEY }).der],
    ],
  ];
  for (const [name, chain] of refused) {
    const result = check(chain);
    assert.equal(result.ok, false, name);
    assertRefused(result, 'AGENT_SERVER_ANSWER');
  }
});

test('C2 an SVID that is not valid now names the clocks', () => {
  const leaf = makeLeaf(ROOT, ID.uri, {
    key: KEY,
    notBeforeMs: NOW_MS,
    notAfterMs: NOW_MS + 60_000,
  });
  assert.ok(check([leaf.der], NOW_MS).ok);
  const early = check([leaf.der], NOW_MS - 30_000);
  assertRefused(early, 'AGENT_CLOCK_SKEW');
  assert.ok(!early.ok && early.error.message.includes('30 s: the clock of this machine is behind'));
  const late = check([leaf.der], NOW_MS + 90_000);
  assertRefused(late, 'AGENT_CLOCK_SKEW');
  assert.ok(!late.ok && late.error.message.includes('ahead of the server'));
});

test('renewal is at half of what is left or up to a tenth of that before', () => {
  const random = seededRandom(7);
  const times = Array.from({ length: 200 }, () => renewalTime(1000, 2000, random));
  assert.ok(Math.min(...times) >= 1450 && Math.max(...times) <= 1500);
  assert.ok(new Set(times).size > 150);
});
