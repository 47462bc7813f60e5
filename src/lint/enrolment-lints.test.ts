import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCertificate, makeKey, type TestCertificateOptions } from '../../test/support/x509.ts';
import { toHex } from '../base/bytes.ts';
import { contextConstructed } from '../der/tags.ts';
import { derAscii, derElement, derSequence } from '../der/writer.ts';
import { NO_URI_NAMES } from '../x509/enrolment-template.ts';
import { derExtension } from '../x509/extension-writer.ts';
import { GENERAL_NAME_TAG } from '../x509/general-name.ts';
import { derName } from '../x509/name-writer.ts';
import { OID } from '../x509/oids.ts';
import type { EnrolmentExpectation } from './enrolment-lints.ts';
import { lintEnrolmentCa } from './gate.ts';

const rootKey = makeKey();
const caKey = makeKey();
const constraints = (value = NO_URI_NAMES, critical = true): Uint8Array =>
  derExtension(OID.nameConstraints, critical, value);
const subject = derName({ commonName: 'Connector Enrolment' });
const GOOD_ROOT: TestCertificateOptions = {
  key: rootKey,
  subject,
  ca: true,
  pathLength: 1,
  extraExtensions: [constraints()],
};
const root = makeCertificate(GOOD_ROOT);
const caSubject = derName({ commonName: 'ZPA' });
const GOOD_CA: TestCertificateOptions = {
  key: caKey,
  issuer: root,
  subject: caSubject,
  ca: true,
  pathLength: 0,
  extraExtensions: [constraints()],
};

/** Lints that a certificate breaks, where the plan was a good one. */
function broken(options: TestCertificateOptions, selfSigned: boolean): string {
  const { certificate, keyId, key } = makeCertificate(options);
  const { serial, notBeforeMs, notAfterMs, tbs, signatureAlgorithm } = certificate;
  const life = { notBeforeMs, notAfterMs };
  const issuer = { subjectDer: subject, keyId: root.keyId, spki: rootKey.spki, signatureAlgorithm };
  const expected: EnrolmentExpectation = {
    ...life,
    serial: Buffer.from(toHex(serial), 'hex'),
    spki: key.spki,
    keyId,
    subjectDer: selfSigned ? subject : caSubject,
    selfSigned,
    issuer: { ...issuer, ...life },
  };
  const linted = lintEnrolmentCa(tbs, expected);
  return linted.ok ? 'ok' : String(linted.error.details.lints);
}

test('a root and a CA below it that are as planned pass', () => {
  assert.equal(broken(GOOD_ROOT, true), 'ok');
  assert.equal(broken(GOOD_CA, false), 'ok');
});

/** One host that somebody may have. */
const somebody = derSequence(
  derElement(contextConstructed(0), derSequence(derAscii(GENERAL_NAME_TAG.uri, 'example.org'))),
);

const BROKEN: readonly (readonly [string, TestCertificateOptions, string])[] = [
  [
    'no CA',
    { ca: null, keyUsage: ['keyCertSign', 'crlSign'], extendedKeyUsage: null },
    'basic-constraints enrolment-ca-flag enrolment-extensions',
  ],
  ['a CA more below it', { pathLength: 2 }, 'enrolment-ca-flag'],
  [
    'a key that also signs data',
    { keyUsage: ['keyCertSign', 'crlSign', 'digitalSignature'] },
    'enrolment-usage',
  ],
  ['a key that signs no CRL', { keyUsage: ['keyCertSign'] }, 'enrolment-usage'],
  [
    'the SPIFFE ID of a trust domain',
    { uris: ['spiffe://example.org'] },
    'enrolment-no-names enrolment-extensions',
  ],
  ['no constraints', { extraExtensions: [] }, 'enrolment-no-uris enrolment-extensions'],
  [
    'constraints that are not critical',
    { extraExtensions: [constraints(NO_URI_NAMES, false)] },
    'enrolment-no-uris',
  ],
  ['constraints to somebody', { extraExtensions: [constraints(somebody)] }, 'enrolment-no-uris'],
  ['another subject', { subject: derName({ commonName: 'x' }) }, 'enrolment-subject'],
  ['an extended usage', { extendedKeyUsage: [OID.serverAuth] }, 'enrolment-extensions'],
  ['another issuer key identifier', { authorityKeyId: new Uint8Array(20) }, 'enrolment-issuer'],
];

for (const [what, change, expected] of BROKEN) {
  test(`RFC 5280 a vendor's CA with ${what} is not signed`, () => {
    assert.equal(broken({ ...GOOD_CA, ...change }, false), expected);
  });
}

test('RFC 5280 §4.2.1.9 a root without room for a CA, and a CA with room for one, are not signed', () => {
  assert.equal(broken({ ...GOOD_ROOT, pathLength: 0 }, true), 'enrolment-ca-flag');
  assert.equal(broken({ ...GOOD_CA, pathLength: 1 }, false), 'enrolment-ca-flag');
});
