import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  assemble,
  type Mutation,
  type Parts,
  partsOf,
  testMutations,
} from '../../test/support/mutations.ts';
import {
  directoryName,
  makeKey,
  makeRoot,
  nameConstraintsExtension,
  sanExtension,
} from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import { contextConstructed, contextPrimitive } from '../der/tags.ts';
import {
  derAscii,
  derElement,
  derNamedBits,
  derNumber,
  derOctetString,
  derSequence,
  derTime,
  derUnsigned,
} from '../der/writer.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { buildCaTbs, caSubjectDer } from '../x509/ca-template.ts';
import {
  authorityKeyIdExtension,
  basicConstraintsExtension,
  derExtension,
  extendedKeyUsageExtension,
  KEY_USAGE_BIT,
  type KeyUsageBit,
  keyUsageExtension,
  subjectKeyIdExtension,
} from '../x509/extension-writer.ts';
import { GENERAL_NAME_TAG } from '../x509/general-name.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { OID } from '../x509/oids.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import { CA_LINTS, type CaExpectation } from './ca-lints.ts';
import { lintCa } from './gate.ts';

const BEGIN_MS = Date.UTC(2026, 5, 1);
const END_MS = Date.UTC(2026, 5, 2);
const SERIAL = Uint8Array.of(0x81, 2, 3);
const SUBJECT = { country: 'US', organization: 'SPIFFE' };
const signatureAlgorithm = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha256' });
const key = makeKey();
const keyId = subjectKeyId(key.publicKey);
const upper = makeRoot();
const NONE = new Uint8Array();

const said = {
  serial: SERIAL,
  spki: key.spki,
  keyId,
  notBeforeMs: BEGIN_MS,
  notAfterMs: END_MS,
  subject: SUBJECT,
  trustDomain: unwrap(parseTrustDomain('example.org')),
  signatureAlgorithm,
};
const root: CaExpectation = {
  ...said,
  selfSigned: true,
  pathLength: undefined,
  nameConstraints: undefined,
  issuer: { ...said, subjectDer: caSubjectDer(SERIAL, SUBJECT) },
};
const uri = (text: string) => derAscii(GENERAL_NAME_TAG.uri, text);
const CONSTRAINTS = derSequence(derElement(contextConstructed(0), derSequence(uri('example.org'))));
const issuing: CaExpectation = {
  ...said,
  selfSigned: false,
  pathLength: 0,
  nameConstraints: CONSTRAINTS,
  issuer: {
    subjectDer: upper.subjectDer,
    keyId: upper.keyId,
    spki: upper.key.spki,
    signatureAlgorithm,
    notBeforeMs: BEGIN_MS - 60_000,
    notAfterMs: END_MS + 3_600_000,
  },
};

const usage = (...bits: readonly KeyUsageBit[]) => ({ ku: keyUsageExtension(bits) });
const names = (...all: readonly Uint8Array[]) => ({ san: sanExtension(all) });
const ID = uri('spiffe://example.org');
const rootExtensions = {
  ...usage('keyCertSign', 'crlSign'),
  bc: basicConstraintsExtension(true),
  ski: subjectKeyIdExtension(keyId),
  ...names(ID),
};
const issuingExtensions = {
  ...usage('keyCertSign', 'crlSign'),
  bc: basicConstraintsExtension(true, 0),
  ski: subjectKeyIdExtension(keyId),
  aki: authorityKeyIdExtension(upper.keyId),
  ...names(ID),
  nc: derExtension(OID.nameConstraints, true, CONSTRAINTS),
};
const subjectDer = caSubjectDer(SERIAL, SUBJECT);

type ExtensionRow = readonly [breaks: string, name: string, extensions: Parts['extensions']];
type Row = readonly [breaks: string, name: string, change: Mutation<CaExpectation>['change']];

const LEAF_USAGES = [
  'digitalSignature',
  'contentCommitment',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'encipherOnly',
  'decipherOnly',
] as const;

const FIELDS: readonly Row[] = [
  ['serial', 'another serial number', { serial: derUnsigned(Uint8Array.of(0x81, 2, 4)) }],
  ['serial-form', 'a negative serial number', { serial: Uint8Array.of(2, 3, 0x81, 2, 3) }],
  ['issuer-name', 'another issuer', { issuer: makeRoot('other.example').subjectDer }],
  ['not-before', 'a later start', { notBefore: derTime(BEGIN_MS + 1000) }],
  ['not-after', 'an earlier end', { notAfter: derTime(END_MS - 1000) }],
  ['validity-order', 'an end before its start', { notAfter: derTime(BEGIN_MS - 1000) }],
  ['key', 'another key', { spki: makeKey().spki }],
  ['key key-kind', 'an Ed25519 key', { spki: makeKey('ed25519').spki }],
  ['no-unique-ids', 'a unique identifier', { uniqueIds: derElement(0x81, Uint8Array.of(0, 1)) }],
  ['ca-subject', 'an empty subject', { subject: derSequence() }],
  [
    'ca-subject',
    'a subject with the serial number of another',
    { subject: caSubjectDer(Uint8Array.of(1), SUBJECT) },
  ],
  [
    'ca-subject',
    'another organization',
    { subject: caSubjectDer(SERIAL, { ...SUBJECT, organization: 'SPIRE' }) },
  ],
];

/** What neither a root nor an issuing CA may have. */
const EXTENSIONS: readonly ExtensionRow[] = [
  ['key-usage ca-extensions', 'no key usage', { ku: NONE }],
  [
    'key-usage-critical',
    'key usage that is not critical',
    {
      ku: derExtension(
        OID.keyUsage,
        false,
        derNamedBits([KEY_USAGE_BIT.keyCertSign, KEY_USAGE_BIT.crlSign]),
      ),
    },
  ],
  ['ca-signs-certificates', 'no keyCertSign', usage('crlSign')],
  ['ca-signs-certificates', 'no cRLSign', usage('keyCertSign')],
  ...LEAF_USAGES.map(
    (bit): ExtensionRow => ['ca-no-leaf-usage', bit, usage('keyCertSign', 'crlSign', bit)],
  ),
  ['basic-constraints ca-extensions', 'no basic constraints', { bc: NONE }],
  ['ca-path-length', 'a longer path', { bc: basicConstraintsExtension(true, 1) }],
  [
    'subject-key-id subject-key-id-uncritical ca-extensions',
    'no subject key identifier',
    { ski: NONE },
  ],
  [
    'subject-key-id',
    'another subject key identifier',
    { ski: subjectKeyIdExtension(new Uint8Array(20)) },
  ],
  [
    'subject-key-id-uncritical',
    'a critical subject key identifier',
    { ski: derExtension(OID.subjectKeyId, true, derOctetString(keyId)) },
  ],
  ['ca-spiffe-id ca-extensions', 'no SPIFFE ID', { san: NONE }],
  ['ca-spiffe-id', 'a SPIFFE ID with a path', names(uri('spiffe://example.org/ca'))],
  ['ca-spiffe-id', 'a SPIFFE ID with a slash', names(uri('spiffe://example.org/'))],
  ['ca-spiffe-id', 'another trust domain', names(uri('spiffe://example.com'))],
  ['ca-spiffe-id', 'the SPIFFE ID twice', names(ID, ID)],
  [
    'ca-spiffe-id',
    'a DNS name beside it',
    names(ID, derAscii(GENERAL_NAME_TAG.dns, 'example.org')),
  ],
  ['ca-names-uncritical', 'critical alternative names', { san: sanExtension([ID], true) }],
  [
    'ca-no-extended-usage ca-extensions',
    'extended key usage',
    { more: extendedKeyUsageExtension([OID.serverAuth, OID.clientAuth]) },
  ],
  ['ca-extensions', 'an unknown extension', { more: derExtension('1.2.3.4', false, NONE) }],
  ['extension-once', 'key usage twice', { again: rootExtensions.ku }],
];

const ROOT_ONLY: readonly ExtensionRow[] = [
  ['ca-path-length', 'a path length', { bc: basicConstraintsExtension(true, 0) }],
  ['ca-flag', 'no CA flag', { bc: basicConstraintsExtension(false) }],
  [
    'basic-constraints-critical',
    'basic constraints that are not critical',
    { bc: derExtension(OID.basicConstraints, false, basicConstraintsValue()) },
  ],
  [
    'ca-authority-key-id ca-extensions',
    'an authority key identifier',
    { more: authorityKeyIdExtension(keyId) },
  ],
  [
    'ca-name-constraints ca-extensions',
    'name constraints that nobody planned',
    { more: nameConstraintsExtension([uri('example.org')]) },
  ],
];

const ISSUING_ONLY: readonly ExtensionRow[] = [
  ['ca-path-length', 'no path length', { bc: basicConstraintsExtension(true) }],
  ['ca-flag ca-path-length', 'no CA flag', { bc: basicConstraintsExtension(false) }],
  [
    'basic-constraints-critical',
    'basic constraints that are not critical',
    { bc: derExtension(OID.basicConstraints, false, basicConstraintsValue(0)) },
  ],
  ['ca-authority-key-id ca-extensions', 'no authority key identifier', { aki: NONE }],
  [
    'ca-authority-key-id',
    'its own authority key identifier',
    { aki: authorityKeyIdExtension(keyId) },
  ],
  [
    'ca-authority-key-id',
    'issuer and serial number beside the authority key identifier',
    {
      aki: derExtension(
        OID.authorityKeyId,
        false,
        derSequence(
          derElement(contextPrimitive(0), upper.keyId),
          derElement(0xa1, directoryName({ commonName: 'x' })),
          derElement(contextPrimitive(2), Uint8Array.of(1)),
        ),
      ),
    },
  ],
  [
    'ca-authority-key-id-uncritical',
    'a critical authority key identifier',
    {
      aki: derExtension(
        OID.authorityKeyId,
        true,
        derSequence(derElement(contextPrimitive(0), upper.keyId)),
      ),
    },
  ],
  ['ca-name-constraints ca-extensions', 'no name constraints', { nc: NONE }],
  [
    'ca-name-constraints',
    'name constraints that are not critical',
    { nc: derExtension(OID.nameConstraints, false, CONSTRAINTS) },
  ],
  [
    'ca-name-constraints',
    'wider name constraints',
    { nc: nameConstraintsExtension([uri('example.org'), uri('example.com')]) },
  ],
  [
    'ca-name-constraints',
    'name constraints that exclude',
    {
      nc: derExtension(
        OID.nameConstraints,
        true,
        derSequence(derElement(contextConstructed(1), derSequence(uri('example.org')))),
      ),
    },
  ],
];

const ISSUING_PLANS: readonly Mutation<CaExpectation>[] = [
  {
    breaks: 'validity-inside-issuer',
    name: 'an end one second after that of the root',
    change: { notAfter: derTime(issuing.issuer.notAfterMs + 1000) },
    plan: { notAfterMs: issuing.issuer.notAfterMs + 1000 },
  },
];

const mutations = (rows: readonly ExtensionRow[]): readonly Mutation<CaExpectation>[] => [
  ...FIELDS.map(([breaks, name, change = {}]) => ({ breaks, name, change })),
  ...[...EXTENSIONS, ...rows].map(([breaks, name, extensions]) => ({ breaks, name, extensions })),
];
/** Lints that a root cannot break by itself. */
const ISSUING_LINTS = ['validity-inside-issuer', 'ca-authority-key-id-uncritical'];

const ofRoot = mutations(ROOT_ONLY);
const ofIssuing = [...mutations(ISSUING_ONLY), ...ISSUING_PLANS];

describe('mutations of roots', () => {
  const parts = partsOf(root, subjectDer, rootExtensions);
  test('the parts are those of the profile', () => {
    const built = buildCaTbs({ ...said, uri: said.trustDomain.id });
    assert.deepEqual(Buffer.from(assemble(parts)), built);
  });
  testMutations(
    { parts, expected: root, lint: lintCa, publicKeySpki: key.spki },
    ofRoot,
    // Issuing CAs break the others, below.
    CA_LINTS.filter(({ id }) => !ISSUING_LINTS.includes(id)),
  );
});

describe('mutations of issuing CAs', () => {
  const parts = partsOf(issuing, subjectDer, issuingExtensions);
  testMutations(
    { parts, expected: issuing, lint: lintCa, publicKeySpki: upper.key.spki },
    ofIssuing,
    CA_LINTS,
  );
});

/** Value of basic constraints of a CA. */
function basicConstraintsValue(pathLength?: number): Uint8Array {
  const flag = derElement(0x01, Uint8Array.of(0xff));
  return derSequence(flag, ...(pathLength === undefined ? [] : [derNumber(pathLength)]));
}
