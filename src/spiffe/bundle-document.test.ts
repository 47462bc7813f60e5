import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { base64url, makeJwtKey } from '../../test/support/jwt.ts';
import { makeKey, makeLeaf, makeRoot, type TestCertificate } from '../../test/support/x509.ts';
import { utf8 } from '../base/bytes.ts';
import { unwrap } from '../base/result.ts';
import { type Bundle, emptyBundle, sameBundleContents } from './bundle.ts';
import {
  MAX_BUNDLE_BYTES,
  parseBundleMap,
  parseJwtBundle,
  parseSpiffeBundle,
} from './bundle-document.ts';
import {
  formatJwtBundle,
  formatPemBundle,
  formatSpiffeBundle,
  formatX509Bundle,
  parsePemBundle,
  parseX509Bundle,
} from './bundle-format.ts';
import { parseTrustDomain } from './trust-domain.ts';

type Json = Record<string, unknown>;

const TD = unwrap(parseTrustDomain('td'));
const ROOT = makeRoot('td');
const ROOT_RSA = makeRoot('td', { key: makeKey('rsa-2048') });
const KEY = makeJwtKey('P-256', 'k1');
const KEY_RSA = makeJwtKey('rsa-2048', 'k2');

const KEY_JWK: Json = { ...KEY.publicKey.export({ format: 'jwk' }), kid: 'k1' };
const JWT_JWK: Json = { ...KEY_JWK, use: 'jwt-svid' };
const X509_JWK = x509Jwk(ROOT);

function x509Jwk(root: TestCertificate): Json {
  return { ...keyJwk(root), use: 'x509-svid', x5c: [Buffer.from(root.der).toString('base64')] };
}

function keyJwk(root: TestCertificate): Json {
  const { kty, crv, x, y, n, e } = root.key.privateKey.export({ format: 'jwk' });
  return JSON.parse(JSON.stringify({ kty, crv, x, y, n, e }));
}

const FULL: Bundle = {
  ...emptyBundle(TD),
  x509Authorities: [ROOT, ROOT_RSA].map(({ certificate }) => ({ certificate, tainted: false })),
  jwtAuthorities: [KEY.authority, KEY_RSA.authority],
  sequence: 2n ** 63n + 1n,
  refreshHintSeconds: 300,
};

function read(document: unknown): ReturnType<typeof parseSpiffeBundle> {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  return parseSpiffeBundle(TD, utf8(text));
}

/** Roots, JWT key ids and codes of what was left out. */
function summary(document: unknown): readonly unknown[] {
  const { bundle, ignored } = unwrap(read(document));
  return [
    bundle.x509Authorities.length,
    bundle.jwtAuthorities.map(({ keyId }) => keyId),
    ignored.map(({ index, reason }) => `${index} ${reason.code}`),
  ];
}

function codeOf(document: unknown): string {
  const result = read(document);
  return result.ok ? 'ok' : result.error.code;
}

test('BUNDLE-1 a bundle comes back from its document as it was, a sequence beyond 2^63 too', () => {
  const { bundle, ignored } = unwrap(parseSpiffeBundle(TD, unwrap(formatSpiffeBundle(FULL))));
  assert.ok(sameBundleContents(bundle, FULL));
  assert.equal(bundle.sequence, FULL.sequence);
  assert.deepEqual(ignored, []);
});

test('BUNDLE-2 "keys" is demanded, as an array', () => {
  for (const document of [{}, { keys: {} }, { keys: null }, { keys: 'x' }, { Keys: [] }]) {
    assert.equal(codeOf(document), 'BUNDLE_MALFORMED');
  }
  assert.equal(codeOf([]), 'JSON_SYNTAX');
  assert.equal(codeOf('{"keys":[]'), 'JSON_SYNTAX');
});

test('BUNDLE-2, BUNDLE-3 an empty set is a bundle that trusts nothing', () => {
  assert.deepEqual(summary({ keys: [] }), [0, [], []]);
});

for (const [text, expected] of [
  ['0', 0n],
  ['1', 1n],
  ['9007199254740991', 2n ** 53n - 1n],
  ['9007199254740992', 2n ** 53n],
  ['9007199254740993', 2n ** 53n + 1n],
  ['18446744073709551615', 2n ** 64n - 1n],
  ['18446744073709551616', 'BUNDLE_MALFORMED'],
  ['-1', 'BUNDLE_MALFORMED'],
  ['1.5', 'BUNDLE_MALFORMED'],
  ['1e300', 'BUNDLE_MALFORMED'],
  ['"1"', 'BUNDLE_MALFORMED'],
  ['null', 'BUNDLE_MALFORMED'],
] as const) {
  test(`BUNDLE-4 sequence ${text}: ${expected}`, () => {
    const result = read(`{"keys":[],"spiffe_sequence":${text}}`);
    assert.equal(result.ok ? result.value.bundle.sequence : result.error.code, expected);
  });
}

for (const [text, expected] of [
  ['300', 300],
  ['0', 0],
  ['-1', 'BUNDLE_MALFORMED'],
  ['0.5', 'BUNDLE_MALFORMED'],
  ['"300"', 'BUNDLE_MALFORMED'],
  ['9007199254740993', 'BUNDLE_MALFORMED'],
] as const) {
  test(`BUNDLE-5 refresh hint ${text}: ${expected}`, () => {
    const result = read(`{"keys":[],"spiffe_refresh_hint":${text}}`);
    assert.equal(result.ok ? result.value.bundle.refreshHintSeconds : result.error.code, expected);
  });
}

test('BUNDLE-6 members that are not known are passed over, and none but "keys" is demanded', () => {
  assert.deepEqual(summary({ keys: [JWT_JWK], x: { y: 1 } }), [0, ['k1'], []]);
});

const IGNORED: readonly (readonly [rule: string, name: string, element: unknown, code: string])[] =
  [
    [
      'BUNDLE-7',
      'a kty of after-quantum keys',
      { kty: 'AKP', use: 'jwt-svid', kid: 'x', pub: 'AA' },
      'JWK_KEY_TYPE',
    ],
    [
      'BUNDLE-7',
      'an OKP key',
      { kty: 'OKP', crv: 'Ed25519', x: 'AA', use: 'jwt-svid', kid: 'x' },
      'JWK_KEY_TYPE',
    ],
    ['BUNDLE-7', 'no kty', { use: 'jwt-svid', kid: 'x' }, 'JWK_KEY_TYPE'],
    ['BUNDLE-7', 'an element that is no object', 7, 'JWK_MEMBER'],
    ['BUNDLE-8', 'no use', KEY_JWK, 'JWK_USE'],
    ['BUNDLE-8', 'use sig', { ...KEY_JWK, use: 'sig' }, 'JWK_USE'],
    ['BUNDLE-8', 'use in another case', { ...X509_JWK, use: 'X509-SVID' }, 'JWK_USE'],
    ['BUNDLE-8', 'use that is an array', { ...JWT_JWK, use: ['jwt-svid'] }, 'JWK_USE'],
    ['BUNDLE-9', 'a key for WIT-SVIDs', { ...KEY_JWK, use: 'wit-svid' }, 'JWK_USE'],
    ['BUNDLE-12', 'no x5c', { ...X509_JWK, x5c: undefined }, 'JWK_MEMBER'],
    ['BUNDLE-12', 'an empty x5c', { ...X509_JWK, x5c: [] }, 'JWK_MEMBER'],
    ['BUNDLE-12', 'x5c that is a string', { ...X509_JWK, x5c: String(X509_JWK.x5c) }, 'JWK_MEMBER'],
    ['BUNDLE-12', 'x5c of an empty string', { ...X509_JWK, x5c: [''] }, 'JWK_MEMBER'],
    ['BUNDLE-12', 'x5c in base64url', { ...X509_JWK, x5c: [base64url(ROOT.der)] }, 'JWK_MEMBER'],
    ['BUNDLE-12', 'x5c with a line end', { ...X509_JWK, x5c: [`${X509_JWK.x5c}\n`] }, 'JWK_MEMBER'],
    ['BUNDLE-12', 'x5c that is no certificate', { ...X509_JWK, x5c: ['MAA='] }, 'DER_TRUNCATED'],
    [
      'BUNDLE-12',
      'the certificate of another key',
      { ...X509_JWK, x5c: x509Jwk(makeRoot('td')).x5c },
      'JWK_MEMBER',
    ],
    ['BUNDLE-13', 'a JWT key without kid', { ...JWT_JWK, kid: undefined }, 'JWK_MEMBER'],
    ['BUNDLE-13', 'a JWT key with an empty kid', { ...JWT_JWK, kid: '' }, 'JWK_MEMBER'],
    [
      'BUNDLE JWK',
      'a private key',
      { ...KEY.privateKey.export({ format: 'jwk' }), use: 'jwt-svid', kid: 'x' },
      'JWK_PRIVATE',
    ],
    [
      'BUNDLE JWK',
      'a symmetric key',
      { kty: 'oct', k: 'AAAA', use: 'jwt-svid', kid: 'x' },
      'JWK_PRIVATE',
    ],
  ];
for (const [rule, name, element, code] of IGNORED) {
  test(`${rule} an element with ${name} is left out alone, and said so`, () => {
    const document = JSON.parse(JSON.stringify({ keys: [X509_JWK, element, JWT_JWK] }));
    assert.deepEqual(summary(document), [1, ['k1'], [`1 ${code}`]]);
  });
}

test('BUNDLE-9 a key serves the one type of SVID that its use names', () => {
  assert.deepEqual(summary({ keys: [{ ...X509_JWK, kid: 'x', use: 'jwt-svid' }] }), [0, ['x'], []]);
  assert.deepEqual(summary({ keys: [X509_JWK] }), [1, [], []]);
});

test('BUNDLE-10, BUNDLE-13, BUNDLE-16 elements are written with their members and no others', () => {
  const { keys } = JSON.parse(Buffer.from(unwrap(formatSpiffeBundle(FULL))).toString());
  assert.deepEqual(
    keys.map((key: Json) => Object.keys(key).sort().join()),
    ['crv,kty,use,x,x5c,y', 'e,kty,n,use,x5c', 'crv,kid,kty,use,x,y', 'e,kid,kty,n,use'],
  );
  assert.deepEqual(keys[0].x5c, [Buffer.from(ROOT.der).toString('base64')]);
  assert.deepEqual([keys[0].use, keys[2].use, keys[2].kid], ['x509-svid', 'jwt-svid', 'k1']);
});

test('BUNDLE-12 of several certificates the first counts', () => {
  const x5c = [...(X509_JWK.x5c as string[]), 'not base64'];
  assert.deepEqual(summary({ keys: [{ ...X509_JWK, x5c }] }), [1, [], []]);
});

test('BUNDLE-14 two different keys with one id refuse the whole, the same key twice does not', () => {
  const other = { ...KEY_RSA.publicKey.export({ format: 'jwk' }), use: 'jwt-svid', kid: 'k1' };
  assert.equal(codeOf({ keys: [JWT_JWK, X509_JWK, other] }), 'BUNDLE_DUPLICATE_KEY_ID');
  assert.deepEqual(summary({ keys: [JWT_JWK, X509_JWK, JWT_JWK, X509_JWK] }), [1, ['k1'], []]);
});

test('BUNDLE JWK the algorithm that a publisher binds a key to is kept', () => {
  const { bundle } = unwrap(read({ keys: [{ ...JWT_JWK, alg: 'ES256' }] }));
  assert.equal(bundle.jwtAuthorities[0]?.algorithm, 'ES256');
});

test('BUNDLE-20 a key twice in the document refuses it', () => {
  assert.equal(codeOf('{"keys":[],"keys":[]}'), 'JSON_DUPLICATE_KEY');
});

for (const [bytes, expected] of [
  [MAX_BUNDLE_BYTES, 'ok'],
  [MAX_BUNDLE_BYTES + 1, 'JSON_TOO_LARGE'],
] as const) {
  test(`a document of ${bytes} bytes: ${expected}`, () => {
    assert.equal(codeOf(`{"keys":[]${' '.repeat(bytes - 11)}}`), expected);
  });
}

test('a bundle of 257 JWT keys is refused, one of 256 is not', () => {
  const keys = Array.from({ length: 257 }, (_, i) => ({ ...JWT_JWK, kid: `k${i}` }));
  assert.equal(unwrap(read({ keys: keys.slice(1) })).bundle.jwtAuthorities.length, 256);
  assert.equal(codeOf({ keys }), 'BUNDLE_MALFORMED');
});

test('a bundle of 1025 elements is refused before any is read, one of 1024 is not', () => {
  const keys = Array.from({ length: 1025 }, () => ({ use: 'other' }));
  assert.equal(unwrap(read({ keys: keys.slice(1) })).ignored.length, 1024);
  assert.equal(codeOf({ keys }), 'BUNDLE_MALFORMED');
});

test('a bundle of 257 certificates is refused, one of 256 is not', () => {
  const key = makeKey();
  const roots = Array.from({ length: 257 }, () => x509Jwk(makeRoot('td', { key })));
  assert.equal(codeOf({ keys: roots }), 'BUNDLE_MALFORMED');
  assert.equal(codeOf({ keys: roots.slice(1) }), 'ok');
});

test('WLAPI-26, WLAPI-27 the JWK Set of the Workload API holds JWT keys alone, without use', () => {
  const document = unwrap(formatJwtBundle(FULL));
  const rsa = { kid: 'k2', ...KEY_RSA.publicKey.export({ format: 'jwk' }) };
  assert.deepEqual(JSON.parse(Buffer.from(document).toString()), { keys: [KEY_JWK, rsa] });
  const { bundle } = unwrap(parseJwtBundle(TD, document));
  assert.deepEqual(
    bundle.jwtAuthorities.map(({ keyId }) => keyId),
    ['k1', 'k2'],
  );
});

test('WLAPI-27 no key of another use is taken from a JWK Set of the Workload API', () => {
  const keys = [X509_JWK, { ...KEY_JWK, use: 'wit-svid' }, { ...KEY_JWK, use: 'enc' }, JWT_JWK];
  const { bundle, ignored } = unwrap(parseJwtBundle(TD, utf8(JSON.stringify({ keys }))));
  assert.deepEqual(
    bundle.jwtAuthorities.map(({ keyId }) => keyId),
    ['k1'],
  );
  assert.deepEqual(bundle.x509Authorities, []);
  assert.deepEqual(
    ignored.map(({ index }) => index),
    [0, 1, 2],
  );
  const signing = utf8(JSON.stringify({ keys: [{ ...KEY_JWK, use: 'sig' }] }));
  assert.equal(unwrap(parseJwtBundle(TD, signing)).bundle.jwtAuthorities.length, 1);
});

test('WLAPI-18 roots are written as DER after DER and read back, with nothing left over', () => {
  const ders = formatX509Bundle(FULL);
  assert.deepEqual(Buffer.from(ders), Buffer.concat([ROOT.der, ROOT_RSA.der]));
  const bundle = unwrap(parseX509Bundle(TD, ders));
  assert.deepEqual(
    bundle.x509Authorities.map(({ certificate }) => Buffer.from(certificate.der)),
    [Buffer.from(ROOT.der), Buffer.from(ROOT_RSA.der)],
  );
  for (const bytes of [
    new Uint8Array(),
    ders.subarray(0, -1),
    Buffer.concat([ders, Buffer.of(0)]),
  ]) {
    assert.equal(parseX509Bundle(TD, bytes).ok, false);
  }
  assert.equal(parseX509Bundle(TD, Buffer.from(ROOT.pem)).ok, false);
});

test('roots are written as PEM and read back; PEM without a certificate is no bundle', () => {
  const pem = formatPemBundle(FULL);
  assert.equal(pem, ROOT.pem + ROOT_RSA.pem);
  assert.equal(unwrap(parsePemBundle(TD, pem)).x509Authorities.length, 2);
  for (const text of ['', 'x', pem.replaceAll('CERTIFICATE', 'PUBLIC KEY')]) {
    assert.equal(parsePemBundle(TD, text).ok, false);
  }
});

test('a CA whose key is neither EC nor RSA is refused when a document is written', () => {
  const { certificate } = makeRoot('td', { key: makeKey('ed25519') });
  const bundle = { ...emptyBundle(TD), x509Authorities: [{ certificate, tainted: false }] };
  const result = formatSpiffeBundle(bundle);
  assert.equal(result.ok ? 'ok' : result.error.code, 'JWK_KEY_TYPE');
});

test('a JWT key that cannot be read is refused when a document is written', () => {
  const broken = { ...KEY.authority, publicKeySpki: Uint8Array.of(5, 0) };
  const { publicKey: _, ...authority } = broken;
  const bundle = { ...emptyBundle(TD), jwtAuthorities: [authority] };
  assert.equal(formatSpiffeBundle(bundle).ok, false);
  assert.equal(formatJwtBundle(bundle).ok, false);
});

function mapOf(document: string): readonly string[] | string {
  const result = parseBundleMap(utf8(document));
  if (!result.ok) return result.error.code;
  return result.value.map(
    ({ bundle }) => `${bundle.trustDomain.name} ${bundle.refreshHintSeconds}`,
  );
}

test('BUNDLE-19 a map needs its member, which may be empty', () => {
  assert.equal(mapOf('{}'), 'BUNDLE_MALFORMED');
  assert.equal(mapOf('{"trust_domains":[]}'), 'BUNDLE_MALFORMED');
  assert.deepEqual(mapOf('{"trust_domains":{}}'), []);
});

test('BUNDLE-20 a map with a trust domain twice is refused', () => {
  assert.equal(mapOf('{"trust_domains":{"a":{"keys":[]},"a":{"keys":[]}}}'), 'JSON_DUPLICATE_KEY');
});

test('BUNDLE-21 refresh hints inside a map are not believed', () => {
  const bundle = '{"keys":[],"spiffe_refresh_hint":7,"spiffe_sequence":3}';
  assert.deepEqual(mapOf(`{"trust_domains":{"a":${bundle},"b":${bundle}}}`), ['a 0', 'b 0']);
});

test('BUNDLE-22 one bad bundle or name refuses the whole map', () => {
  for (const [member, code] of [
    ['"b":{}', 'BUNDLE_MALFORMED'],
    ['"b":[]', 'BUNDLE_MALFORMED'],
    ['"B":{"keys":[]}', 'TRUST_DOMAIN_CHARACTER'],
    ['"spiffe://b":{"keys":[]}', 'BUNDLE_MALFORMED'],
    ['"":{"keys":[]}', 'TRUST_DOMAIN_EMPTY'],
  ] as const) {
    assert.equal(mapOf(`{"trust_domains":{"a":{"keys":[]},${member}}}`), code);
  }
});

test('X509-17 a leaf in a bundle is held as it is; it validates nothing (see x509-svid)', () => {
  const leaf = makeLeaf(ROOT, 'spiffe://td/w');
  assert.deepEqual(summary({ keys: [x509Jwk(leaf)] }), [1, [], []]);
});

test('no document makes the reader throw', () => {
  const element = fc.record(
    {
      kty: fc.constantFrom('EC', 'RSA', 'oct'),
      use: fc.constantFrom('x509-svid', 'jwt-svid'),
      kid: fc.jsonValue(),
      x5c: fc.jsonValue(),
      n: fc.jsonValue(),
      e: fc.jsonValue(),
      x: fc.jsonValue(),
      y: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  const document = fc.record({
    keys: fc.oneof(fc.array(element), fc.jsonValue()),
    spiffe_sequence: fc.jsonValue(),
  });
  fc.assert(
    fc.property(fc.oneof(document, fc.jsonValue()), (value) => {
      const bytes = utf8(JSON.stringify(value));
      parseSpiffeBundle(TD, bytes);
      parseJwtBundle(TD, bytes);
      parseBundleMap(bytes);
    }),
    { numRuns: 500 },
  );
});

test('no mutation of a document makes the reader throw', () => {
  const document = unwrap(formatSpiffeBundle(FULL));
  fc.assert(
    fc.property(fc.nat(document.length - 1), fc.nat(255), (at, byte) => {
      const copy = Uint8Array.from(document);
      copy[at] = byte;
      parseSpiffeBundle(TD, copy);
    }),
    { numRuns: 500 },
  );
});
