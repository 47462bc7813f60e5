import { describe, test } from 'node:test';
import {
  CRL_FROM_MS,
  CRL_UNTIL_MS,
  makeCrl,
  makeCrlSigner,
  revokedEntry,
} from '../../test/support/crl.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  makeLeaf,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import { parseCrl } from '../x509/crl.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import type { CrlExpectation } from './crl-lints.ts';
import { lintCrl, lintCrlSigner } from './gate.ts';

const root = makeRoot();
const signer = makeCrlSigner(root);
const other = makeCrlSigner(makeRoot());

function lintSigner({ certificate, key }: TestCertificate) {
  const { subjectDer, notBeforeMs, notAfterMs, signatureAlgorithm } = root.certificate;
  const { spki } = root.key;
  return lintCrlSigner(certificate.tbs, {
    serial: certificate.serial,
    spki: key.spki,
    keyId: subjectKeyId(key.publicKey),
    notBeforeMs: certificate.notBeforeMs,
    notAfterMs: certificate.notAfterMs,
    issuer: { subjectDer, keyId: root.keyId, spki, signatureAlgorithm, notBeforeMs, notAfterMs },
  });
}

describe('the certificate of a CRL signer', () => {
  test('is signed where it is what it is to be', () => {
    assertValue(lintSigner(signer));
  });

  const broken: readonly [string, TestCertificateOptions][] = [
    ['may sign certificates', { keyUsage: ['crlSign', 'keyCertSign'] }],
    ['may do what leaves do', { keyUsage: ['crlSign', 'digitalSignature'] }],
    ['may not sign CRLs', { keyUsage: ['digitalSignature'] }],
    ['says nothing of its usage', { keyUsage: null }],
    ['says its usage without force', { keyUsageCritical: false }],
    ['is a CA', { ca: true, keyUsage: ['crlSign'] }],
    ['is an SVID too', { uris: ['spiffe://example.org/crl'] }],
    ['is good for TLS', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }],
    ['has a name of its own', { subject: { organization: 'Other' } }],
    ['is of another issuer', { issuerDer: other.subjectDer }],
    ['names another key of its issuer', { authorityKeyId: other.keyId }],
    ['outlives its root', { notAfterMs: root.certificate.notAfterMs + 1000 }],
  ];
  for (const [name, options] of broken) {
    test(`is not signed where it ${name}`, () => {
      assertRefused(lintSigner(makeCrlSigner(root, options)), 'LINT_REFUSED');
    });
  }
});

describe('a CRL', () => {
  const der = makeCrl(signer, [revokedEntry(makeLeaf(root))]);
  const { tbs } = assertValue(parseCrl(der));
  const expected: CrlExpectation = {
    issuerDer: signer.subjectDer,
    keyId: signer.keyId,
    spki: signer.key.spki,
    signatureAlgorithm: signer.certificate.signatureAlgorithm,
    notAfterMs: signer.certificate.notAfterMs,
    nowMs: CRL_FROM_MS,
    number: 7n,
    size: 1,
  };

  test('is signed where it is what it is to be', () => {
    assertValue(lintCrl(tbs, expected));
  });

  const broken: readonly [string, Partial<CrlExpectation>][] = [
    ['has another issuer', { issuerDer: other.subjectDer }],
    ['names another key', { keyId: other.keyId }],
    ['begins later', { nowMs: CRL_FROM_MS - 1 }],
    ['has ended', { nowMs: CRL_UNTIL_MS }],
    ['outlives its signer', { notAfterMs: CRL_UNTIL_MS - 1000 }],
    ['has another number', { number: 8n }],
    ['lists less than is revoked', { size: 2 }],
    ['lists more than is revoked', { size: 0 }],
  ];
  for (const [name, options] of broken) {
    test(`is not signed where it ${name}`, () => {
      assertRefused(lintCrl(tbs, { ...expected, ...options }), 'LINT_REFUSED');
    });
  }

  test('is not signed where it cannot be read', () => {
    assertRefused(lintCrl(tbs.subarray(1), expected), 'LINT_REFUSED');
  });
});
