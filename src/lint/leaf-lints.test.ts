import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  assemble,
  type Mutation,
  type Parts,
  partsOf,
  testMutations,
} from '../../test/support/mutations.ts';
import { directoryName, makeKey, makeRoot, sanExtension } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import { contextPrimitive, TAG } from '../der/tags.ts';
import {
  derAscii,
  derBitString,
  derElement,
  derNamedBits,
  derNull,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
  derTime,
  derUnsigned,
} from '../der/writer.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  crlDistributionPoints,
  derExtension,
  extendedKeyUsageExtension,
  KEY_USAGE_BIT,
  type KeyUsageBit,
  keyUsageExtension,
  subjectKeyIdExtension,
} from '../x509/extension-writer.ts';
import { GENERAL_NAME_TAG } from '../x509/general-name.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { derName } from '../x509/name-writer.ts';
import { OID } from '../x509/oids.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import { buildLeafTbs, createLeafTemplate } from '../x509/template.ts';
import { lintLeaf } from './gate.ts';
import { LEAF_LINTS, type LeafExpectation } from './leaf-lints.ts';
import { DER_LINT, READER_LINTS } from './lint.ts';

const root = makeRoot();
const key = makeKey();
const signatureAlgorithm = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha256' });
const BEGIN_MS = Date.UTC(2026, 5, 1);
const END_MS = Date.UTC(2026, 5, 1, 1);
const dnsNames = ['a.example.org', 'b.example.org'];
const expected: LeafExpectation = {
  id: unwrap(parseSpiffeId('spiffe://example.org/web')),
  serial: Uint8Array.of(0x81, 2, 3),
  spki: key.spki,
  keyId: subjectKeyId(key.publicKey),
  notBeforeMs: BEGIN_MS,
  notAfterMs: END_MS,
  dnsNames,
  issuer: {
    subjectDer: root.subjectDer,
    keyId: root.keyId,
    spki: root.key.spki,
    signatureAlgorithm,
    notBeforeMs: BEGIN_MS - 60_000,
    notAfterMs: END_MS + 3_600_000,
  },
};

const uri = (text: string) => derAscii(GENERAL_NAME_TAG.uri, text);
const dns = (text: string) => derAscii(GENERAL_NAME_TAG.dns, text);
const names = (...all: readonly Uint8Array[]) => ({ san: sanExtension(all) });
const ID = uri(expected.id.uri);
const DNS = dnsNames.map(dns);
const usage = (...bits: readonly KeyUsageBit[]) => ({ ku: keyUsageExtension(bits) });
const PROFILE_USAGE = ['digitalSignature', 'keyEncipherment', 'keyAgreement'] as const;
const extended = (...oids: readonly string[]) => ({ eku: extendedKeyUsageExtension(oids) });

const extensions = {
  ...usage(...PROFILE_USAGE),
  ...extended(OID.serverAuth, OID.clientAuth),
  bc: basicConstraintsExtension(false),
  ski: subjectKeyIdExtension(expected.keyId),
  aki: authorityKeyIdExtension(root.keyId),
  ...names(ID, ...DNS),
};
const subject = { country: 'US', organization: 'SPIRE', commonName: 'a.example.org' };
const parts = partsOf(expected, derName(subject), extensions);

const NONE = new Uint8Array();
const KEY_ID_VALUE = derOctetString(expected.keyId);
const AKI_VALUE = derSequence(derElement(contextPrimitive(0), root.keyId));
const time = (tag: number, text: string) => derElement(tag, Buffer.from(text, 'latin1'));
const ecAlgorithm = (...parameters: readonly Uint8Array[]) =>
  derSequence(derOid(OID.ecPublicKey), ...parameters);
const point = key.publicKey.subjectPublicKey;
const compressed = Uint8Array.of(2 + (point.at(-1)! & 1), ...point.subarray(1, 33));
const rsa = makeKey('rsa-2048');
const twice = (name: keyof typeof extensions) => ({ again: extensions[name] });
const bits = (...set: readonly KeyUsageBit[]) => derNamedBits(set.map((bit) => KEY_USAGE_BIT[bit]));
const otherKey = makeKey();

const POINTS = crlDistributionPoints(['http://crl.example.org/crl'], root.subjectDer);

const ELSEWHERE = crlDistributionPoints(['http://evil.example.org/crl'], root.subjectDer);

type Change = Mutation<LeafExpectation>['change'];
type Row = readonly [breaks: string, name: string, change: Change];
type ExtensionRow = readonly [breaks: string, name: string, extensions: Parts['extensions']];

const FIELDS: readonly Row[] = [
  ['version-3', 'version 1', { version: NONE }],
  ['version-3', 'version 2', { version: derElement(0xa0, derNumber(1)) }],
  ['version-3', 'version 4', { version: derElement(0xa0, derNumber(3)) }],
  ['serial-form', 'a serial number of zero', { serial: derNumber(0) }],
  ['serial-form', 'a negative serial number', { serial: Uint8Array.of(2, 3, 0x81, 2, 3) }],
  [
    'serial-form',
    'a serial number of 21 octets',
    { serial: derUnsigned(new Uint8Array(21).fill(1)) },
  ],
  [
    'serial',
    'another serial number of 20 octets',
    { serial: derUnsigned(new Uint8Array(20).fill(1)) },
  ],
  ['serial', 'another serial number', { serial: derUnsigned(Uint8Array.of(0x81, 2, 4)) }],
  ['der', 'a serial number with a zero too many', { serial: Uint8Array.of(2, 4, 0, 0, 0x81, 2) }],
  [
    'algorithm',
    'another signature algorithm',
    { algorithm: signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha384' }) },
  ],
  [
    'algorithm',
    'parameters that the algorithm does not have',
    { algorithm: derSequence(derOid(OID.ecdsaSha256), derNull()) },
  ],
  ['issuer-name', 'another issuer', { issuer: makeRoot('other.example').subjectDer }],
  ['issuer-name', 'no issuer', { issuer: derName({}) }],
  ['issuer-name', 'the same issuer in another kind of string', { issuer: inUtf8(root.subjectDer) }],
  ['not-before', 'a start one second earlier', { notBefore: derTime(BEGIN_MS - 1000) }],
  ['not-before', 'a start one second later', { notBefore: derTime(BEGIN_MS + 1000) }],
  ['not-after', 'an end one second earlier', { notAfter: derTime(END_MS - 1000) }],
  ['not-after', 'an end one second later', { notAfter: derTime(END_MS + 1000) }],
  ['validity-order', 'an end before its start', { notAfter: derTime(BEGIN_MS - 1000) }],
  [
    'validity-form',
    'GeneralizedTime before 2050',
    { notAfter: time(TAG.generalizedTime, '20260601010000Z') },
  ],
  ['validity-form', 'a time without seconds', { notAfter: time(TAG.utcTime, '2606010100Z') }],
  ['validity-form', 'a time with an offset', { notAfter: time(TAG.utcTime, '260601010000+0000') }],
  [
    'validity-form',
    'a fraction of a second',
    { notAfter: time(TAG.generalizedTime, '20500601010000.5Z') },
  ],
  ['validity-form', 'a day that does not exist', { notAfter: time(TAG.utcTime, '260631010000Z') }],
  ['leaf-subject leaf-names-critical', 'an empty subject', { subject: derName({}) }],
  ['leaf-subject', 'no common name', { subject: derName({ ...subject, commonName: '' }) }],
  [
    'leaf-subject',
    'another common name',
    { subject: derName({ ...subject, commonName: 'b.example.org' }) },
  ],
  [
    'leaf-subject',
    'another organization',
    { subject: derName({ ...subject, organization: 'SPIFFE' }) },
  ],
  [
    'leaf-subject',
    'an attribute more',
    { subject: derName({ ...subject, organizationalUnit: 'x' }) },
  ],
  ['leaf-subject', 'a subject in another kind of string', { subject: inUtf8(derName(subject)) }],
  ['der', 'a subject with an empty RDN', { subject: derSequence(derElement(TAG.set)) }],
  ['key', 'another key', { spki: otherKey.spki }],
  ['key', 'a key of another curve', { spki: makeKey('ec-p384').spki }],
  ['key key-kind', 'a key on P-521', { spki: makeKey('ec-p521').spki }],
  ['key key-kind', 'an Ed25519 key', { spki: makeKey('ed25519').spki }],
  [
    'key-point',
    'the point in compressed form',
    { spki: derSequence(ecAlgorithm(derOid(OID.p256)), derBitString(compressed)) },
  ],
  [
    'key-parameters',
    'a curve that is written out',
    { spki: derSequence(ecAlgorithm(derSequence(derNumber(1))), derBitString(point)) },
  ],
  [
    'der',
    'an EC key with parameters after its curve',
    { spki: derSequence(ecAlgorithm(derOid(OID.p256), derNull()), derBitString(point)) },
  ],
  [
    'der',
    'an RSA key without parameters',
    {
      spki: derSequence(
        derSequence(derOid(OID.rsaEncryption)),
        derBitString(rsa.publicKey.subjectPublicKey),
      ),
    },
  ],
  [
    'der',
    'a key with unused bits',
    {
      spki: derSequence(
        ecAlgorithm(derOid(OID.p256)),
        derElement(TAG.bitString, Uint8Array.of(1), point.subarray(0, 64), Uint8Array.of(2)),
      ),
    },
  ],
  [
    'no-unique-ids',
    'an issuer unique identifier',
    { uniqueIds: derElement(0x81, Uint8Array.of(0, 1)) },
  ],
  [
    'no-unique-ids',
    'a subject unique identifier',
    { uniqueIds: derElement(0x82, Uint8Array.of(0, 1)) },
  ],
  ['der', 'something after the extensions', { trailing: derNull() }],
];

const EXTENSIONS: readonly ExtensionRow[] = [
  [
    'leaf-extensions',
    'CRL distribution points that nobody configured',
    { cdp: derExtension(OID.crlDistributionPoints, false, POINTS) },
  ],
  ['key-usage leaf-extensions', 'no key usage', { ku: NONE }],
  [
    'key-usage-critical',
    'key usage that is not critical',
    { ku: derExtension(OID.keyUsage, false, bits(...PROFILE_USAGE)) },
  ],
  ['extension-once', 'key usage twice', twice('ku')],
  ['leaf-signs', 'no digitalSignature', usage('keyEncipherment', 'keyAgreement')],
  ['leaf-encrypts', 'no keyEncipherment', usage('digitalSignature', 'keyAgreement')],
  ['leaf-encrypts', 'no keyAgreement', usage('digitalSignature', 'keyEncipherment')],
  ['leaf-no-ca-usage', 'keyCertSign', usage(...PROFILE_USAGE, 'keyCertSign')],
  ['leaf-no-ca-usage', 'cRLSign', usage(...PROFILE_USAGE, 'crlSign')],
  ['leaf-other-usage', 'contentCommitment', usage(...PROFILE_USAGE, 'contentCommitment')],
  ['leaf-other-usage', 'dataEncipherment', usage(...PROFILE_USAGE, 'dataEncipherment')],
  ['leaf-other-usage', 'encipherOnly', usage(...PROFILE_USAGE, 'encipherOnly')],
  ['leaf-other-usage', 'decipherOnly', usage(...PROFILE_USAGE, 'decipherOnly')],
  [
    'extension-form',
    'key usage without a bit',
    { ku: derExtension(OID.keyUsage, true, derBitString(NONE)) },
  ],
  [
    'extension-form',
    'key usage with zero bits at its end',
    { ku: derExtension(OID.keyUsage, true, derBitString(Uint8Array.of(0xa8, 0))) },
  ],
  ['leaf-client-and-server leaf-extensions', 'no extended key usage', { eku: NONE }],
  ['leaf-client-and-server', 'server authentication alone', extended(OID.serverAuth)],
  ['leaf-client-and-server', 'client authentication alone', extended(OID.clientAuth)],
  [
    'leaf-extended-usage-only',
    'a third extended key usage',
    extended(OID.serverAuth, OID.clientAuth, '1.3.6.1.5.5.7.3.3'),
  ],
  [
    'leaf-extended-usage-only',
    'any extended key usage',
    extended(OID.serverAuth, OID.clientAuth, OID.anyExtendedKeyUsage),
  ],
  [
    'leaf-extended-usage-only',
    'an extended key usage twice',
    extended(OID.serverAuth, OID.clientAuth, OID.clientAuth),
  ],
  [
    'leaf-extended-usage-uncritical',
    'critical extended key usage',
    {
      eku: derExtension(
        OID.extendedKeyUsage,
        true,
        derSequence(derOid(OID.serverAuth), derOid(OID.clientAuth)),
      ),
    },
  ],
  ['der', 'extended key usage without one', extended()],
  ['extension-once', 'extended key usage twice', twice('eku')],
  ['basic-constraints leaf-extensions', 'no basic constraints', { bc: NONE }],
  [
    'basic-constraints-critical',
    'basic constraints that are not critical',
    { bc: derExtension(OID.basicConstraints, false, derSequence()) },
  ],
  ['leaf-no-ca', 'the CA flag', { bc: basicConstraintsExtension(true) }],
  ['leaf-no-ca', 'the CA flag with a path length', { bc: basicConstraintsExtension(true, 0) }],
  [
    'extension-form',
    'a path length without the CA flag',
    { bc: derExtension(OID.basicConstraints, true, derSequence(derNumber(0))) },
  ],
  [
    'der',
    'the CA flag written out as FALSE',
    {
      bc: derExtension(
        OID.basicConstraints,
        true,
        derSequence(derElement(TAG.boolean, Uint8Array.of(0))),
      ),
    },
  ],
  ['extension-once', 'basic constraints twice', twice('bc')],
  [
    'subject-key-id subject-key-id-uncritical leaf-extensions',
    'no subject key identifier',
    { ski: NONE },
  ],
  [
    'subject-key-id',
    'the subject key identifier of another key',
    { ski: subjectKeyIdExtension(subjectKeyId(otherKey.publicKey)) },
  ],
  ['subject-key-id', 'an empty subject key identifier', { ski: subjectKeyIdExtension(NONE) }],
  [
    'subject-key-id-uncritical',
    'a critical subject key identifier',
    { ski: derExtension(OID.subjectKeyId, true, KEY_ID_VALUE) },
  ],
  ['extension-once', 'the subject key identifier twice', twice('ski')],
  ['leaf-authority-key-id leaf-extensions', 'no authority key identifier', { aki: NONE }],
  [
    'leaf-authority-key-id',
    'another authority key identifier',
    { aki: authorityKeyIdExtension(new Uint8Array(20)) },
  ],
  [
    'leaf-authority-key-id',
    'an authority key identifier without one',
    { aki: derExtension(OID.authorityKeyId, false, derSequence()) },
  ],
  [
    'leaf-authority-key-id',
    'issuer and serial number beside the authority key identifier',
    {
      aki: derExtension(
        OID.authorityKeyId,
        false,
        derSequence(
          derElement(contextPrimitive(0), root.keyId),
          derElement(0xa1, directoryName({ commonName: 'x' })),
          derElement(contextPrimitive(2), Uint8Array.of(1)),
        ),
      ),
    },
  ],
  [
    'leaf-authority-key-id-uncritical',
    'a critical authority key identifier',
    { aki: derExtension(OID.authorityKeyId, true, AKI_VALUE) },
  ],
  ['extension-once', 'the authority key identifier twice', twice('aki')],
  [
    'leaf-one-uri leaf-granted-id leaf-granted-names leaf-extensions',
    'no alternative names',
    { san: NONE },
  ],
  ['leaf-one-uri leaf-granted-id', 'no URI', names(...DNS)],
  ['leaf-one-uri', 'the SPIFFE ID twice', names(ID, ID, ...DNS)],
  ['leaf-one-uri', 'a second SPIFFE ID', names(ID, uri('spiffe://example.org/db'), ...DNS)],
  [
    'leaf-one-uri leaf-spiffe-id',
    'a web address beside the SPIFFE ID',
    names(ID, uri('https://example.org/web'), ...DNS),
  ],
  ['leaf-granted-id', 'another SPIFFE ID', names(uri('spiffe://example.org/db'), ...DNS)],
  ['leaf-granted-id', 'another trust domain', names(uri('spiffe://example.com/web'), ...DNS)],
  [
    'leaf-granted-id',
    'a trust domain in upper case',
    names(uri('spiffe://EXAMPLE.org/web'), ...DNS),
  ],
  ['leaf-spiffe-id leaf-granted-id', 'no path', names(uri('spiffe://example.org'), ...DNS)],
  [
    'leaf-spiffe-id leaf-granted-id',
    'a slash after the path',
    names(uri('spiffe://example.org/web/'), ...DNS),
  ],
  ['leaf-spiffe-id leaf-granted-id', 'a query', names(uri('spiffe://example.org/web?x'), ...DNS)],
  [
    'leaf-spiffe-id leaf-granted-id',
    'another scheme',
    names(uri('https://example.org/web'), ...DNS),
  ],
  [
    'name-form',
    'a NUL after the SPIFFE ID',
    {
      san: sanExtension([
        derElement(GENERAL_NAME_TAG.uri, Buffer.from(`${expected.id.uri}\0`)),
        ...DNS,
      ]),
    },
  ],
  ['leaf-granted-names', 'a DNS name too few', names(ID, ...DNS.slice(0, 1))],
  ['leaf-granted-names', 'a DNS name too many', names(ID, ...DNS, dns('c.example.org'))],
  ['leaf-granted-names', 'DNS names in another order', names(ID, ...DNS.toReversed())],
  [
    'leaf-granted-names',
    'a wildcard for a DNS name',
    names(ID, ...DNS.slice(0, 1), dns('*.example.org')),
  ],
  [
    'leaf-granted-names',
    'an e-mail name',
    names(ID, ...DNS, derAscii(GENERAL_NAME_TAG.email, 'a@example.org')),
  ],
  [
    'leaf-granted-names',
    'an IP name',
    names(ID, ...DNS, derElement(GENERAL_NAME_TAG.ip, Uint8Array.of(10, 0, 0, 1))),
  ],
  ['leaf-granted-names', 'a directory name', names(ID, ...DNS, directoryName({ commonName: 'x' }))],
  [
    'leaf-names-critical',
    'critical names beside a subject',
    { san: sanExtension([ID, ...DNS], true) },
  ],
  ['extension-once', 'alternative names twice', twice('san')],
  [
    'leaf-extensions',
    'an extension that nobody knows',
    { more: derExtension('1.2.3.4', false, NONE) },
  ],
  [
    'leaf-extensions',
    'a critical extension that nobody knows',
    { more: derExtension('1.2.3.4', true, NONE) },
  ],
  [
    'leaf-extensions',
    'certificate policies',
    { more: derExtension('2.5.29.32', false, derSequence(derSequence(derOid('2.5.29.32.0')))) },
  ],
  [
    'leaf-extensions',
    'an OCSP extension',
    { more: derExtension('1.3.6.1.5.5.7.1.24', false, NONE) },
  ],
  [
    'der',
    'an extension that writes out that it is not critical',
    {
      more: derSequence(
        derOid('1.2.3.4'),
        derElement(TAG.boolean, Uint8Array.of(0)),
        derOctetString(NONE),
      ),
    },
  ],
];

const PLANS: readonly Mutation<LeafExpectation>[] = [
  {
    breaks: 'validity-inside-issuer',
    name: 'an end one second after that of the authority',
    change: { notAfter: derTime(expected.issuer.notAfterMs + 1000) },
    plan: { notAfterMs: expected.issuer.notAfterMs + 1000 },
  },
  {
    breaks: 'validity-inside-issuer',
    name: 'a start one second before that of the authority',
    change: { notBefore: derTime(expected.issuer.notBeforeMs - 1000) },
    plan: { notBeforeMs: expected.issuer.notBeforeMs - 1000 },
  },
  {
    breaks: 'leaf-extensions',
    name: 'no CRL distribution points where they are configured',
    plan: { issuer: { ...expected.issuer, crlPoints: POINTS } },
  },
  {
    breaks: 'leaf-crl-points',
    name: 'CRL distribution points somewhere else',
    extensions: { cdp: derExtension(OID.crlDistributionPoints, false, ELSEWHERE) },
    plan: { issuer: { ...expected.issuer, crlPoints: POINTS } },
  },
  {
    breaks: 'leaf-crl-points',
    name: 'CRL distribution points that are critical',
    extensions: { cdp: derExtension(OID.crlDistributionPoints, true, POINTS) },
    plan: { issuer: { ...expected.issuer, crlPoints: POINTS } },
  },
];

describe('mutations of leaves', () => {
  test('the parts are those of the profile', () => {
    const template = createLeafTemplate(expected.issuer);
    const built = buildLeafTbs(template, { ...expected, uri: expected.id.uri });
    assert.deepEqual(Buffer.from(assemble(parts)), built);
    const pointed = { ...expected, issuer: { ...expected.issuer, crlPoints: POINTS } };
    const withPoints = buildLeafTbs(createLeafTemplate(pointed.issuer), {
      ...pointed,
      uri: expected.id.uri,
    });
    assert.ok(lintLeaf(withPoints, pointed).ok);
  });

  testMutations(
    { parts, expected, lint: lintLeaf, publicKeySpki: root.key.spki },
    [
      ...FIELDS.map(([breaks, name, change = {}]) => ({ breaks, name, change })),
      ...EXTENSIONS.map(([breaks, name, changed]) => ({ breaks, name, extensions: changed })),
      ...PLANS,
    ],
    [...LEAF_LINTS, ...Object.values(READER_LINTS), DER_LINT],
  );
});

/** The same name with UTF8String in place of PrintableString: equal to people, not to comparisons. */
function inUtf8(name: Uint8Array): Uint8Array {
  return name.map((octet) => (octet === TAG.printableString ? TAG.utf8String : octet));
}
