import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { readCrl } from '../../examples/connector/crl.ts';
import { verifiedId } from '../../examples/connector/spiffe.ts';
import { makeCrl, makeCrlSigner, revokedEntry } from '../support/crl.ts';
import { makeIntermediate, makeLeaf, makeRoot, type TestCertificate } from '../support/x509.ts';

// What the reference connector does not leave to TLS.

const id = 'spiffe://example.org/app';
const root = makeRoot();
const under = makeIntermediate(root);
const x509 = ({ der }: TestCertificate): X509Certificate => new X509Certificate(der);
const authorities = new Map([['example.org', [x509(root)]]]);
const nowMs = Date.UTC(2030, 0, 1);

const chains: readonly [string, readonly TestCertificate[], string | undefined][] = [
  ['a leaf of an authority', [makeLeaf(root)], 'spiffe://example.org/workload'],
  ['a leaf of an intermediate', [makeLeaf(under, id), under], id],
  ['a leaf without its intermediate', [makeLeaf(under, id)], undefined],
  [
    'a leaf with an intermediate that is not its issuer',
    [makeLeaf(makeRoot(), id), under],
    undefined,
  ],
  ['a leaf below a leaf', [makeLeaf(makeLeaf(root, id), id), makeLeaf(root, id)], undefined],
  ['an authority', [root], undefined],
  ['nothing', [], undefined],
  ['a leaf that has ended', [makeLeaf(root, id, { notAfterMs: nowMs })], undefined],
  ['a leaf in its last millisecond', [makeLeaf(root, id, { notAfterMs: nowMs + 1000 })], id],
  ['a leaf before its time', [makeLeaf(root, id, { notBeforeMs: nowMs + 1000 })], undefined],
];

for (const [name, chain, expected] of chains) {
  test(`${name} is ${expected === undefined ? 'nobody' : expected}`, () => {
    assert.equal(verifiedId(chain.map(x509), authorities, nowMs), expected);
  });
}

test('an intermediate that is itself a leaf vouches for nobody', () => {
  const fake = makeLeaf(root, id, { keyUsage: ['keyCertSign'] });
  assert.equal(verifiedId([makeLeaf(fake, id), fake].map(x509), authorities, nowMs), undefined);
});

test('a CRL counts if an authority or its signer stands behind it', () => {
  const revoked = makeLeaf(root, id);
  const entry = [revokedEntry(revoked)];
  const serials = new Set([x509(revoked).serialNumber]);
  const own = [x509(root)];
  assert.deepEqual(readCrl(Buffer.from(makeCrl(makeCrlSigner(root), entry)), own), serials);
  assert.deepEqual(readCrl(Buffer.from(makeCrl(root, entry)), own), serials);
  const stranger = makeRoot();
  for (const signer of [stranger, makeCrlSigner(stranger), makeLeaf(root, id)]) {
    assert.equal(readCrl(Buffer.from(makeCrl(signer, entry)), own), undefined);
  }
  const whole = Buffer.from(makeCrl(root, entry));
  for (let cut = 0; cut < whole.length; cut += 7) {
    assert.equal(readCrl(whole.subarray(0, cut), own), undefined);
  }
  for (let at = 4; at < whole.length; at += 11) {
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    assert.notDeepEqual(readCrlSafely(changed, own), serials);
  }
});

/** A changed signer is no certificate any more, which Node says by throwing: a Nack as well. */
function readCrlSafely(crl: Buffer, own: readonly X509Certificate[]) {
  try {
    return readCrl(crl, own);
  } catch {
    return undefined;
  }
}
