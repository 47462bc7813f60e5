import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertValue } from '../../test/support/refused.ts';
import { makeKey, type TestKeyType } from '../../test/support/x509.ts';
import { equalBytes } from '../base/bytes.ts';
import { parseCsr, verifyCsrSignature } from './csr.ts';
import { buildCsr } from './csr-builder.ts';
import type { SignatureScheme } from './signature.ts';

const schemes: readonly (readonly [TestKeyType, SignatureScheme])[] = [
  ['ec-p256', { kind: 'ecdsa', hash: 'sha256' }],
  ['ec-p384', { kind: 'ecdsa', hash: 'sha384' }],
  ['rsa-2048', { kind: 'rsa', hash: 'sha256' }],
];

for (const [type, scheme] of schemes) {
  test(`a request with a key of ${type} reads back as it was asked, and holds`, () => {
    const { privateKey, spki } = makeKey(type);
    const uri = 'spiffe://example.org/a';
    const dnsNames = ['a.test', 'b.test'];
    const csr = assertValue(parseCsr(buildCsr({ spki, uri, dnsNames }, privateKey, scheme)));
    assert.deepEqual(csr.requestedUris, [uri]);
    assert.deepEqual(csr.requestedDnsNames, dnsNames);
    assert.ok(equalBytes(csr.publicKey.spki, spki));
    assertValue(verifyCsrSignature(csr));
  });
}

test('a request without names has no attribute that asks for any', () => {
  const { privateKey, spki } = makeKey();
  const fields = { spki, uri: undefined, dnsNames: [] };
  const csr = buildCsr(fields, privateKey, { kind: 'ecdsa', hash: 'sha256' });
  assert.deepEqual(assertValue(parseCsr(csr)).requestedUris, []);
});
