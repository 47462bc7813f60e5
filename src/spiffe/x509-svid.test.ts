import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeLeaf,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import { concatBytes } from '../base/bytes.ts';
import { type Result, unwrap } from '../base/result.ts';
import { derBoolean, derSequence } from '../der/writer.ts';
import { parseCertificates } from '../x509/certificate.ts';
import { derExtension } from '../x509/extension-writer.ts';
import { type Bundle, type BundleSource, emptyBundle } from './bundle.ts';
import { parseTrustDomain, type TrustDomain } from './trust-domain.ts';
import {
  MAX_CHAIN_CERTIFICATES,
  parseX509Svid,
  parseX509SvidChain,
  validateX509Svid,
} from './x509-svid.ts';

const AT_MS = Date.UTC(2026, 5, 1);
const TD = unwrap(parseTrustDomain('td'));
const OTHER = unwrap(parseTrustDomain('other'));
const ROOT = makeRoot('td');
const OTHER_ROOT = makeRoot('other');
const URI = 'spiffe://td/w';

function outcome(result: Result<unknown>): string {
  return result.ok ? 'ok' : result.error.code;
}

function bundleOf(trustDomain: TrustDomain, ...roots: readonly TestCertificate[]): Bundle {
  const x509Authorities = roots.map(({ certificate }) => ({ certificate, tainted: false }));
  return { ...emptyBundle(trustDomain), x509Authorities };
}

const BUNDLES = new Map(
  [bundleOf(TD, ROOT), bundleOf(OTHER, OTHER_ROOT)].map((b) => [b.trustDomain.name, b]),
);
const SOURCE: BundleSource = ({ name }) => BUNDLES.get(name);

function validate(
  chain: readonly TestCertificate[],
  bundles = SOURCE,
  atMs = AT_MS,
): Result<unknown> {
  return validateX509Svid({ chain: chain.map(({ certificate }) => certificate), bundles, atMs });
}

test('X509-20 a leaf under a root of its trust domain is accepted, with its ID and path', () => {
  const leaf = makeLeaf(ROOT, URI);
  const chain = [leaf.certificate];
  const valid = unwrap(validateX509Svid({ chain, bundles: SOURCE, atMs: AT_MS }));
  assert.equal(valid.id.uri, URI);
  assert.deepEqual(
    valid.path.map(({ der }) => Buffer.from(der)),
    [Buffer.from(leaf.der), Buffer.from(ROOT.der)],
  );
});

test('X509-24 a leaf under intermediates, an upstream of another name among them, is accepted', () => {
  const upstream = makeIntermediate(ROOT, { uris: ['spiffe://upstream'] });
  const issuing = makeIntermediate(upstream, { uris: ['spiffe://td'] });
  assert.equal(outcome(validate([makeLeaf(issuing, URI), issuing, upstream])), 'ok');
});

test('X509-20 what breaks RFC 5280 is refused', () => {
  const stranger = makeRoot('td');
  const intermediate = makeIntermediate(ROOT);
  const unknownCritical = derExtension('1.2.3.4', true, derBoolean(true));
  const broken: Readonly<Record<string, readonly TestCertificate[]>> = {
    expired: [makeLeaf(ROOT, URI, { notAfterMs: AT_MS - 1000 })],
    'not yet valid': [makeLeaf(ROOT, URI, { notBeforeMs: AT_MS + 1000 })],
    'signed by a stranger of the same domain': [makeLeaf(stranger, URI)],
    'a stranger under the name of the root': [
      makeLeaf(stranger, URI, { issuerDer: ROOT.subjectDer }),
    ],
    'a signature that is wrong': [makeLeaf(ROOT, URI, { signature: new Uint8Array(70) })],
    'an unknown critical extension': [makeLeaf(ROOT, URI, { extraExtensions: [unknownCritical] })],
    'a missing intermediate': [makeLeaf(intermediate, URI)],
    'an expired intermediate': under(makeIntermediate(ROOT, { notAfterMs: AT_MS - 1000 })),
    'an intermediate that is no CA': under(
      makeIntermediate(ROOT, { ca: false, keyUsage: ['keyCertSign'] }),
    ),
    'an intermediate without keyCertSign': under(makeIntermediate(ROOT, { keyUsage: ['crlSign'] })),
    'a leaf that signed': under(makeLeaf(ROOT, URI)),
  };
  for (const [name, chain] of Object.entries(broken)) {
    assert.notEqual(outcome(validate(chain)), 'ok', name);
  }
});

function under(issuer: TestCertificate, options: TestCertificateOptions = {}): TestCertificate[] {
  return [makeLeaf(issuer, URI, options), issuer];
}

test('X509-15 a chain longer than a path length allows is refused, one as long is not', () => {
  for (const [pathLength, expected] of [
    [0, false],
    [1, true],
    [2, true],
  ] as const) {
    const limiting = makeIntermediate(ROOT, { pathLength });
    const issuing = makeIntermediate(limiting);
    const chain = [makeLeaf(issuing, URI), issuing, limiting];
    assert.equal(validate(chain).ok, expected, `${pathLength}`);
  }
});

test('X509-2..22 the profile of the leaf is judged before any bundle is asked for', () => {
  const bundles = (): never => assert.fail('a bundle was asked for');
  for (const [change, code] of [
    [{ uris: [URI, URI] }, 'X509_SVID_URI_SAN'],
    [{ uris: [] }, 'X509_SVID_URI_SAN'],
    [{ uris: ['spiffe://td'] }, 'X509_SVID_ID'],
    [{ uris: ['https://td/w'] }, 'X509_SVID_ID'],
    [{ ca: true, keyUsage: ['digitalSignature'] }, 'X509_SVID_CA'],
    [{ keyUsage: ['digitalSignature', 'keyCertSign'] }, 'X509_SVID_KEY_USAGE'],
    [{ keyUsage: ['digitalSignature', 'crlSign'] }, 'X509_SVID_KEY_USAGE'],
    [{ keyUsage: null }, 'X509_SVID_KEY_USAGE'],
  ] as const) {
    assert.equal(outcome(validate([makeLeaf(ROOT, URI, change)], bundles)), code);
  }
});

test('X509-16 a signing certificate with a SPIFFE ID that has a path is refused in the chain', () => {
  const issuing = makeIntermediate(ROOT, { uris: ['spiffe://td/ca'] });
  assert.equal(outcome(validate([makeLeaf(issuing, URI), issuing])), 'X509_SVID_SIGNER_ID');
  const root = makeRoot('td', { uris: ['spiffe://td/root'] });
  const bundles = () => bundleOf(TD, root);
  assert.equal(outcome(validate([makeLeaf(root, URI)], bundles)), 'X509_SVID_SIGNER_ID');
});

test('X509-17 signing certificates do not authenticate: root, intermediate, or one with a path', () => {
  const intermediate = makeIntermediate(ROOT, { uris: ['spiffe://td'] });
  const withPath = makeIntermediate(ROOT, { uris: [URI] });
  assert.notEqual(outcome(validate([ROOT])), 'ok');
  assert.notEqual(outcome(validate([intermediate])), 'ok');
  assert.equal(outcome(validate([withPath])), 'X509_SVID_CA');
});

test('X509-17 a leaf that stands in the bundle itself does not authenticate', () => {
  const selfSigned = makeCertificate({ uris: [URI] });
  const leaf = makeLeaf(ROOT, URI);
  assert.notEqual(outcome(validate([selfSigned], () => bundleOf(TD, selfSigned))), 'ok');
  assert.notEqual(outcome(validate([leaf], () => bundleOf(TD, leaf))), 'ok');
});

test('X509-23, ID-16 only the bundle of the ID’s own trust domain counts', () => {
  assert.equal(outcome(validate([makeLeaf(OTHER_ROOT, 'spiffe://other/w')])), 'ok');
  assert.notEqual(outcome(validate([makeLeaf(OTHER_ROOT, URI)])), 'ok');
  assert.notEqual(outcome(validate([makeLeaf(ROOT, 'spiffe://other/w')])), 'ok');
  // The root of the other trust domain in the chain does not help.
  assert.notEqual(outcome(validate([makeLeaf(OTHER_ROOT, URI), OTHER_ROOT])), 'ok');
});

test('BUNDLE-17 two bundles side by side never vouch for each other', () => {
  const asked: string[] = [];
  const bundles: BundleSource = (trustDomain) => {
    asked.push(trustDomain.name);
    return SOURCE(trustDomain);
  };
  assert.notEqual(outcome(validate([makeLeaf(OTHER_ROOT, URI), OTHER_ROOT], bundles)), 'ok');
  assert.deepEqual(asked, ['td']);
});

test('X509-23 no bundle, and a bundle of another name, are no trust', () => {
  const leaf = makeLeaf(ROOT, URI);
  assert.equal(outcome(validate([leaf], () => undefined)), 'X509_SVID_TRUST_DOMAIN');
  const misnamed = () => bundleOf(OTHER, ROOT);
  assert.equal(outcome(validate([leaf], misnamed)), 'X509_SVID_TRUST_DOMAIN');
});

test('BUNDLE-3, BUNDLE-15 an empty bundle validates nothing', () => {
  assert.notEqual(outcome(validate([makeLeaf(ROOT, URI)], () => emptyBundle(TD))), 'ok');
});

test('X509-6, X509-4 a leaf without a subject, with other names, is accepted', () => {
  const options = { subject: derSequence(), sanCritical: true, dnsNames: ['a', 'b', 'c'] };
  assert.equal(outcome(validate([makeLeaf(ROOT, URI, options)])), 'ok');
});

test(`a chain of none, and of more than ${MAX_CHAIN_CERTIFICATES} certificates, is refused`, () => {
  const leaf = makeLeaf(ROOT, URI);
  const filler = (count: number): TestCertificate[] => Array.from({ length: count }, () => ROOT);
  assert.equal(outcome(validate([])), 'X509_SVID_CHAIN');
  assert.equal(outcome(validate([leaf, ...filler(MAX_CHAIN_CERTIFICATES)])), 'X509_SVID_CHAIN');
  assert.equal(outcome(validate([leaf, ...filler(MAX_CHAIN_CERTIFICATES - 1)])), 'ok');
});

const ISSUING = makeIntermediate(ROOT, { uris: ['spiffe://td'] });
const OWN = makeLeaf(ISSUING, URI);

function keyDer(certificate: TestCertificate): Uint8Array {
  return certificate.key.privateKey.export({ format: 'der', type: 'pkcs8' });
}

function own(chain: readonly TestCertificate[], key = keyDer(OWN)): string {
  return outcome(parseX509Svid(concatBytes(chain.map(({ der }) => der)), key));
}

test('WLAPI-17, X509-25 an SVID of our own is read with its ID, chain and key', () => {
  const svid = unwrap(parseX509Svid(concatBytes([OWN.der, ISSUING.der]), keyDer(OWN)));
  assert.equal(svid.id.uri, URI);
  assert.equal(svid.chain.length, 2);
  assert.ok(svid.privateKey.equals(OWN.key.privateKey));
  assert.equal(own([OWN]), 'ok');
  assert.equal(own([OWN, ISSUING, ROOT]), 'ok');
});

test('X509-25 a chain out of order, or of strangers, is refused', () => {
  const stranger = makeIntermediate(ROOT);
  const sameName = makeCertificate({ ca: true, subject: ISSUING.subjectDer });
  assert.equal(own([ISSUING, OWN]), 'X509_SVID_ID');
  assert.equal(own([OWN, ROOT, ISSUING]), 'X509_SVID_CHAIN');
  assert.equal(own([OWN, stranger]), 'X509_SVID_CHAIN');
  const sameKey = makeCertificate({ ca: true, key: ISSUING.key });
  assert.equal(own([OWN, sameName]), 'X509_SVID_CHAIN');
  assert.equal(own([OWN, sameKey]), 'X509_SVID_CHAIN');
  assert.equal(own([OWN, OWN]), 'X509_SVID_CHAIN');
});

test('X509-13, X509-16 what follows the leaf is a signing certificate without a path', () => {
  for (const [change, code] of [
    [{ ca: false, keyUsage: ['keyCertSign'] }, 'X509_SVID_CHAIN'],
    [{ keyUsage: ['crlSign'] }, 'X509_SVID_CHAIN'],
    [{ keyUsage: null }, 'X509_SVID_CHAIN'],
    [{ uris: ['spiffe://td/ca'] }, 'X509_SVID_SIGNER_ID'],
  ] as const) {
    const issuer = makeIntermediate(ROOT, change);
    const leaf = makeLeaf(issuer, URI);
    assert.equal(own([leaf, issuer], keyDer(leaf)), code);
  }
});

test('X509-9 an SVID of our own needs the profile of a leaf', () => {
  const leaf = makeLeaf(ISSUING, URI, { keyUsage: ['keyAgreement'] });
  assert.equal(own([leaf], keyDer(leaf)), 'X509_SVID_KEY_USAGE');
});

test('WLAPI-17 the key must be PKCS#8 DER and the key of the leaf', () => {
  const pem = Buffer.from(String(OWN.key.privateKey.export({ format: 'pem', type: 'pkcs8' })));
  const sec1 = OWN.key.privateKey.export({ format: 'der', type: 'sec1' });
  const encrypted = OWN.key.privateKey.export({
    format: 'der',
    type: 'pkcs8',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  });
  const other = makeLeaf(ISSUING, URI);
  const rsa = makeLeaf(ISSUING, URI, { key: makeKey('rsa-2048') });
  for (const key of [
    pem,
    sec1,
    encrypted,
    keyDer(other),
    keyDer(rsa),
    OWN.key.spki,
    new Uint8Array(),
    new Uint8Array(9_000),
  ]) {
    assert.equal(own([OWN], key), 'X509_SVID_KEY');
  }
  assert.equal(own([rsa], keyDer(rsa)), 'ok');
});

test('WLAPI-17 PEM, and bytes left over, are refused in place of a DER chain', () => {
  for (const bytes of [
    Buffer.from(OWN.pem),
    concatBytes([OWN.der, Uint8Array.of(0)]),
    OWN.der.subarray(1),
    new Uint8Array(),
  ]) {
    assert.equal(parseX509Svid(bytes, keyDer(OWN)).ok, false);
    assert.equal(parseX509SvidChain(bytes).ok, false);
  }
});

test('a message about a key never holds the key', () => {
  const secret = keyDer(OWN);
  const result = parseX509Svid(OWN.der, secret.subarray(0, -1));
  assert.ok(!result.ok && result.error.cause === undefined);
  assert.ok(!result.error.message.includes(Buffer.from(secret).toString('base64').slice(40, 60)));
});

test('no mutation of a chain makes the readers throw, and none is accepted', () => {
  const good = concatBytes([OWN.der, ISSUING.der]);
  const key = keyDer(OWN);
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Uint8Array.from(good);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      const svid = parseX509Svid(bytes, key);
      const chain = parseCertificates(bytes);
      if (!chain.ok) return assert.ok(!svid.ok);
      const peer = validateX509Svid({ chain: chain.value, bundles: SOURCE, atMs: AT_MS });
      // Only ISSUING's own signature is not seen by parseX509Svid, which judges no trust.
      assert.ok(!peer.ok && (!svid.ok || at > OWN.der.length), `byte ${at}`);
    }),
    { numRuns: 400 },
  );
});
