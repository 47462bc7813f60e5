import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  directoryName,
  makeCertificate,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import { type Result, unwrap } from '../base/result.ts';
import { derSequence } from '../der/writer.ts';
import type { KeyUsageBit } from '../x509/extension-writer.ts';
import { parseTrustDomain } from './trust-domain.ts';
import { checkCaProfile, checkLeafProfile, checkSignerId } from './x509-profile.ts';

const TD = unwrap(parseTrustDomain('td'));
const ROOT = makeRoot('td');
const URI = 'spiffe://td/w';
const EMPTY_NAME = derSequence();

function outcome(result: Result<unknown>): string {
  return result.ok ? 'ok' : result.error.code;
}

type Row = readonly [rule: string, name: string, change: TestCertificateOptions, expected: string];

const uris = (...values: string[]): TestCertificateOptions => ({ uris: values });
const usage = (...keyUsage: KeyUsageBit[]): TestCertificateOptions => ({ keyUsage });

const LEAVES: readonly Row[] = [
  ['X509-1', 'one SPIFFE ID', {}, 'ok'],
  ['X509-2', 'two SPIFFE IDs', uris(URI, 'spiffe://td/x'), 'X509_SVID_URI_SAN'],
  ['X509-2', 'the same SPIFFE ID twice', uris(URI, URI), 'X509_SVID_URI_SAN'],
  ['X509-2', 'a SPIFFE ID and a web address', uris(URI, 'https://x'), 'X509_SVID_URI_SAN'],
  ['X509-2', 'a web address and a SPIFFE ID', uris('https://x', URI), 'X509_SVID_URI_SAN'],
  ['X509-3', 'no names', uris(), 'X509_SVID_URI_SAN'],
  ['X509-3', 'DNS names alone', { uris: [], dnsNames: ['spiffe://td/w'] }, 'X509_SVID_URI_SAN'],
  ['X509-3', 'a web address', uris('https://td/w'), 'X509_SVID_ID'],
  ['X509-3', 'an empty URI', uris(''), 'X509_SVID_ID'],
  [
    'X509-4',
    'names of other kinds beside it',
    {
      dnsNames: ['a', 'b', 'c'],
      emails: ['a@b'],
      ips: [Uint8Array.of(1, 2, 3, 4)],
      otherNames: [directoryName({ commonName: 'x' })],
    },
    'ok',
  ],
  ['X509-5', 'the SPIFFE ID of a trust domain', uris('spiffe://td'), 'X509_SVID_ID'],
  ['X509-6', 'no subject and critical names', { subject: EMPTY_NAME, sanCritical: true }, 'ok'],
  [
    'X509-7',
    'no basic constraints, which means no CA',
    { ca: null, keyUsage: ['digitalSignature'] },
    'ok',
  ],
  ['X509-8', 'no key usage', { keyUsage: null }, 'X509_SVID_KEY_USAGE'],
  ['X509-8', 'key usage that is not critical', { keyUsageCritical: false }, 'X509_SVID_KEY_USAGE'],
  ['X509-9', 'no digitalSignature', usage('keyEncipherment'), 'X509_SVID_KEY_USAGE'],
  [
    'X509-10',
    'keyEncipherment and keyAgreement beside it',
    usage('digitalSignature', 'keyEncipherment', 'keyAgreement'),
    'ok',
  ],
  [
    'X509-11, X509-21',
    'keyCertSign',
    usage('digitalSignature', 'keyCertSign'),
    'X509_SVID_KEY_USAGE',
  ],
  ['X509-11, X509-21', 'cRLSign', usage('digitalSignature', 'crlSign'), 'X509_SVID_KEY_USAGE'],
  ['X509-12', 'no extended key usage', { extendedKeyUsage: null }, 'ok'],
  ['X509-17, X509-21', 'the CA flag', { ca: true, keyUsage: ['digitalSignature'] }, 'X509_SVID_CA'],
];
for (const [rule, name, change, expected] of LEAVES) {
  test(`${rule} ${expected === 'ok' ? 'accepts' : 'refuses'} a leaf with ${name}`, () => {
    assert.equal(outcome(checkLeafProfile(makeLeaf(ROOT, URI, change).certificate)), expected);
  });
}

const BAD_IDS = [
  'spiffe:/td/w',
  'spiffe:///w',
  'spiffe://td/',
  'spiffe://td/w/',
  'spiffe://td//w',
  'spiffe://td/./w',
  'spiffe://td/a/../w',
  'spiffe://td/%77',
  'spiffe://t%64/w',
  'spiffe://u@td/w',
  'spiffe://td:80/w',
  'spiffe://td:/w',
  'spiffe://td/w?q',
  'spiffe://td/w?',
  'spiffe://td/w#f',
  'spiffe://td/w#',
  'spiffe://td/w w',
  'http://td/w',
  `spiffe://td/${'a'.repeat(2037)}`,
  `spiffe://${'a'.repeat(256)}/w`,
];
for (const uri of BAD_IDS) {
  test(`X509-22 refuses a leaf named ${JSON.stringify(uri.slice(0, 40))}`, () => {
    assert.equal(outcome(checkLeafProfile(makeLeaf(ROOT, uri).certificate)), 'X509_SVID_ID');
  });
}

test('X509-22 a URI with a byte that is not printable ASCII is not even read', () => {
  for (const uri of ['spiffe://td/w\0', 'spiffe://td\0.evil/w', 'spiffe://td/w\n']) {
    assert.throws(() => makeLeaf(ROOT, uri).certificate, { code: 'CERTIFICATE_NAME' }, uri);
  }
});

test('X509-22, ID-13 a leaf with an ID of 2048 bytes is accepted', () => {
  const uri = `spiffe://td/${'a'.repeat(2036)}`;
  assert.equal(unwrap(checkLeafProfile(makeLeaf(ROOT, uri).certificate)).uri, uri);
});

test('ID-15 a trust domain in upper case is folded where a leaf is validated', () => {
  const id = unwrap(checkLeafProfile(makeLeaf(ROOT, 'SPIFFE://TD/w').certificate));
  assert.equal(id.uri, URI);
});

const CAS: readonly Row[] = [
  ['X509-13', 'the CA flag and keyCertSign', {}, 'ok'],
  ['X509-13', 'no CA flag', { ca: false, keyUsage: ['keyCertSign'] }, 'X509_CA_PROFILE'],
  ['X509-13', 'no basic constraints', { ca: null, keyUsage: ['keyCertSign'] }, 'X509_CA_PROFILE'],
  ['X509-13', 'no keyCertSign', usage('crlSign'), 'X509_CA_PROFILE'],
  ['X509-8', 'no key usage', { keyUsage: null }, 'X509_CA_PROFILE'],
  ['X509-8', 'key usage that is not critical', { keyUsageCritical: false }, 'X509_CA_PROFILE'],
  ['X509-14', 'keyCertSign alone', usage('keyCertSign'), 'ok'],
  ['X509-15', 'a path length', { pathLength: 0 }, 'ok'],
  ['X509-16', 'no SPIFFE ID', uris(), 'ok'],
  ['X509-16', 'a SPIFFE ID with a path', uris('spiffe://td/ca'), 'X509_SVID_SIGNER_ID'],
  ['X509-16', 'a SPIFFE ID with a slash after it', uris('spiffe://td/'), 'X509_SVID_SIGNER_ID'],
  ['X509-16', 'a SPIFFE ID that is malformed', uris('spiffe:td'), 'X509_SVID_SIGNER_ID'],
  ['X509-16', 'two SPIFFE IDs', uris('spiffe://td', 'spiffe://td'), 'X509_SVID_SIGNER_ID'],
  ['X509-16', 'the SPIFFE ID of another trust domain', uris('spiffe://td2'), 'X509_CA_PROFILE'],
  ['X509-16', 'the SPIFFE ID in upper case', uris('spiffe://TD'), 'X509_CA_PROFILE'],
  ['X509-16', 'a web address beside the SPIFFE ID', uris('spiffe://td', 'https://x'), 'ok'],
];
for (const [rule, name, change, expected] of CAS) {
  test(`${rule} ${expected === 'ok' ? 'accepts' : 'refuses'} a signing certificate with ${name}`, () => {
    const { certificate } = makeRoot('td', change);
    assert.equal(outcome(checkCaProfile(certificate, TD)), expected);
  });
}

for (const bit of [
  'digitalSignature',
  'contentCommitment',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'encipherOnly',
  'decipherOnly',
] as const) {
  test(`X509-14 refuses a signing certificate with ${bit}, a usage of leaves`, () => {
    const { certificate } = makeRoot('td', usage('keyCertSign', bit));
    assert.equal(outcome(checkCaProfile(certificate, TD)), 'X509_CA_PROFILE');
  });
}

test('X509-16 in a chain only SPIFFE IDs of signing certificates are judged', () => {
  for (const [names, expected] of [
    [[], 'ok'],
    [['https://upstream/ca'], 'ok'],
    [['spiffe://td'], 'ok'],
    [['spiffe://upstream'], 'ok'],
    [['spiffe://td/ca'], 'X509_SVID_SIGNER_ID'],
    [['SPIFFE://td/ca'], 'X509_SVID_SIGNER_ID'],
    [['spiffe://td', 'spiffe://td2'], 'X509_SVID_SIGNER_ID'],
  ] as const) {
    const { certificate } = makeIntermediate(ROOT, { uris: names });
    assert.equal(outcome(checkSignerId(certificate)), expected, names.join());
  }
});

test('X509-27 a serial that is negative, zero or of 21 octets is not even read', () => {
  for (const serialDer of [
    [2, 1, 0x80],
    [2, 1, 0],
    [2, 21, ...Array(21).fill(1)],
  ]) {
    const made = makeCertificate({
      issuer: ROOT,
      uris: [URI],
      serialDer: Uint8Array.from(serialDer),
    });
    assert.throws(() => made.certificate, { code: 'CERTIFICATE_SERIAL' });
  }
});
