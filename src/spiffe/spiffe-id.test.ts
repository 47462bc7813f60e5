import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ErrorCode } from '../base/errors.ts';
import { type Result, unwrap } from '../base/result.ts';
import { isMemberOf, parseSpiffeId, sameSpiffeId, spiffeIdFromPath } from './spiffe-id.ts';
import { parseTrustDomain } from './trust-domain.ts';

type Case = readonly [name: string, text: string, expected: ErrorCode | 'ok'];

function outcome(result: Result<unknown>): string {
  return result.ok ? 'ok' : result.error.code;
}

function table(rule: string, cases: readonly Case[]): void {
  for (const [name, text, expected] of cases) {
    const verb = expected === 'ok' ? 'accepts' : 'refuses';
    test(`${rule} ${verb} ${name}`, () => assert.equal(outcome(parseSpiffeId(text)), expected));
  }
}

/** Every byte value as one character. */
const BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));

function acceptedBytes(makeText: (character: string) => string): string {
  return BYTES.filter((character) => parseSpiffeId(makeText(character)).ok).join('');
}

table('ID-1', [
  ['an ID with a path', 'spiffe://td/a', 'ok'],
  ['another scheme', 'http://td/a', 'SPIFFE_ID_SCHEME'],
  ['a scheme that only ends so', 'xspiffe://td/a', 'SPIFFE_ID_SCHEME'],
  ['one slash', 'spiffe:/td/a', 'SPIFFE_ID_SCHEME'],
  ['no scheme', '//td/a', 'SPIFFE_ID_SCHEME'],
  ['a space before the scheme', ' spiffe://td/a', 'SPIFFE_ID_SCHEME'],
  ['a scheme with a long s', '\u017fpiffe://td/a', 'SPIFFE_ID_SCHEME'],
  ['nothing', '', 'SPIFFE_ID_EMPTY'],
  ['a query', 'spiffe://td/a?x', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a bare question mark', 'spiffe://td/a?', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a fragment', 'spiffe://td/a#f', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a bare hash', 'spiffe://td/a#', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a query after the trust domain', 'spiffe://td?x', 'TRUST_DOMAIN_CHARACTER'],
  ['a fragment after the trust domain', 'spiffe://td#f', 'TRUST_DOMAIN_CHARACTER'],
  ['a query with a slash in it', 'spiffe://td?/a', 'TRUST_DOMAIN_CHARACTER'],
]);

table('ID-2', [
  ['no trust domain before a path', 'spiffe:///a', 'TRUST_DOMAIN_EMPTY'],
  ['no trust domain at all', 'spiffe://', 'TRUST_DOMAIN_EMPTY'],
  ['a trust domain of one letter', 'spiffe://a', 'ok'],
]);

table('ID-3', [
  ['userinfo', 'spiffe://u@td/a', 'TRUST_DOMAIN_CHARACTER'],
  ['userinfo with a password', 'spiffe://u:p@td/a', 'TRUST_DOMAIN_CHARACTER'],
  ['a port', 'spiffe://td:80/a', 'TRUST_DOMAIN_CHARACTER'],
  ['an empty port', 'spiffe://td:/a', 'TRUST_DOMAIN_CHARACTER'],
  ['an ID as the trust domain of another', 'spiffe://spiffe://td/a', 'TRUST_DOMAIN_CHARACTER'],
]);

test('ID-4 accepts exactly a-z 0-9 . _ - in a trust domain, of all bytes', () => {
  // Upper case is folded in an ID (ID-15), so the sweep of names is made by parseTrustDomain.
  const accepted = BYTES.filter((character) => parseTrustDomain(`a${character}b`).ok).join('');
  assert.equal(accepted, '-.0123456789_abcdefghijklmnopqrstuvwxyz');
});

table('ID-4', [
  ['percent-encoding in a trust domain', 'spiffe://t%64/a', 'TRUST_DOMAIN_CHARACTER'],
  ['a Kelvin sign, which lower case turns into k', 'spiffe://t\u212a/a', 'TRUST_DOMAIN_CHARACTER'],
  ['a fullwidth letter', 'spiffe://t\uff44/a', 'TRUST_DOMAIN_CHARACTER'],
  ['a line end after the trust domain', 'spiffe://td\n', 'TRUST_DOMAIN_CHARACTER'],
]);

test('ID-5 emits the trust domain in lower case and refuses upper case at registration', () => {
  assert.equal(unwrap(parseSpiffeId('spiffe://Example.ORG/Path')).uri, 'spiffe://example.org/Path');
  assert.equal(outcome(parseTrustDomain('Example.org')), 'TRUST_DOMAIN_CHARACTER');
  assert.equal(outcome(parseTrustDomain('spiffe://Example.org')), 'TRUST_DOMAIN_CHARACTER');
});

for (const [length, expected] of [
  [254, 'ok'],
  [255, 'ok'],
  [256, 'TRUST_DOMAIN_TOO_LONG'],
] as const) {
  test(`ID-6 a trust domain of ${length} bytes: ${expected}`, () => {
    assert.equal(outcome(parseTrustDomain('a'.repeat(length))), expected);
    assert.equal(outcome(parseSpiffeId(`spiffe://${'a'.repeat(length)}/p`)), expected);
  });
}

table('ID-7', [
  ['an IPv4 address as a name', 'spiffe://1.2.3.4/a', 'ok'],
  ['two dots', 'spiffe://a..b/a', 'ok'],
  ['a leading dash', 'spiffe://-a/a', 'ok'],
  ['a leading dot', 'spiffe://.a/a', 'ok'],
  ['an underscore', 'spiffe://a_b/a', 'ok'],
  ['a final dot', 'spiffe://a./a', 'ok'],
  ['dots alone', 'spiffe://../a', 'ok'],
  ['an IPv6 address, by its characters', 'spiffe://[::1]/a', 'TRUST_DOMAIN_CHARACTER'],
]);

test('ID-8 accepts exactly a-z A-Z 0-9 . _ - and the separator in a path, of all bytes', () => {
  const accepted = acceptedBytes((character) => `spiffe://td/a${character}b`);
  assert.equal(accepted, '-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz');
});

table('ID-8', [
  ['an exclamation mark', 'spiffe://td/!', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a tilde', 'spiffe://td/~', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a plus', 'spiffe://td/a+b', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a colon', 'spiffe://td/a:b', 'SPIFFE_ID_PATH_CHARACTER'],
  ['an at sign', 'spiffe://td/a@b', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a space', 'spiffe://td/a b', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a backslash', 'spiffe://td/a\\b', 'SPIFFE_ID_PATH_CHARACTER'],
  ['an umlaut', 'spiffe://td/\u00e4', 'SPIFFE_ID_PATH_CHARACTER'],
  ['half of a surrogate pair', 'spiffe://td/\ud800', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a NUL', 'spiffe://td/a\0', 'SPIFFE_ID_PATH_CHARACTER'],
  ['a line end at the end', 'spiffe://td/a\n', 'SPIFFE_ID_PATH_CHARACTER'],
]);

table('ID-9', [
  ['percent-encoding in the path', 'spiffe://td/%41', 'SPIFFE_ID_PATH_CHARACTER'],
  ['encoded dots', 'spiffe://td/%2e%2e', 'SPIFFE_ID_PATH_CHARACTER'],
]);

table('ID-10', [
  ['an empty segment', 'spiffe://td/a//b', 'SPIFFE_ID_EMPTY_SEGMENT'],
  ['an empty first segment', 'spiffe://td//b', 'SPIFFE_ID_EMPTY_SEGMENT'],
  ['a dot segment', 'spiffe://td/./a', 'SPIFFE_ID_DOT_SEGMENT'],
  ['a final dot segment', 'spiffe://td/a/.', 'SPIFFE_ID_DOT_SEGMENT'],
  ['two dots between', 'spiffe://td/a/../b', 'SPIFFE_ID_DOT_SEGMENT'],
  ['two dots at the end', 'spiffe://td/a/..', 'SPIFFE_ID_DOT_SEGMENT'],
  ['three dots', 'spiffe://td/...', 'ok'],
  ['a segment that begins with a dot', 'spiffe://td/.a', 'ok'],
  ['a segment that begins with two dots', 'spiffe://td/..a', 'ok'],
  ['a segment that ends with a dot', 'spiffe://td/a.', 'ok'],
]);

table('ID-11', [
  ['a slash after the trust domain', 'spiffe://td/', 'SPIFFE_ID_TRAILING_SLASH'],
  ['a slash after the path', 'spiffe://td/a/', 'SPIFFE_ID_TRAILING_SLASH'],
]);

test('ID-12 reads an ID without a path, which names its trust domain', () => {
  const id = unwrap(parseSpiffeId('spiffe://td'));
  assert.deepEqual([id.uri, id.path, id.trustDomain.id], ['spiffe://td', '', 'spiffe://td']);
});

for (const [length, expected] of [
  [2047, 'ok'],
  [2048, 'ok'],
  [2049, 'SPIFFE_ID_TOO_LONG'],
] as const) {
  test(`${length > 2048 ? 'ID-14' : 'ID-13'} an ID of ${length} bytes: ${expected}`, () => {
    const path = `/${'a'.repeat(length - 'spiffe://td/'.length)}`;
    assert.equal(outcome(parseSpiffeId(`spiffe://td${path}`)), expected);
    // A path that was put together from a template is measured again.
    assert.equal(outcome(spiffeIdFromPath(unwrap(parseTrustDomain('td')), path)), expected);
  });
}

test('ID-14 a path that is put together is checked like one that is read', () => {
  const td = unwrap(parseTrustDomain('td'));
  for (const [path, expected] of [
    ['a', 'SPIFFE_ID_PATH_NO_SLASH'],
    ['/', 'SPIFFE_ID_TRAILING_SLASH'],
    ['/a/../b', 'SPIFFE_ID_DOT_SEGMENT'],
    ['/a//b', 'SPIFFE_ID_EMPTY_SEGMENT'],
    ['/a?b', 'SPIFFE_ID_PATH_CHARACTER'],
    ['', 'ok'],
    ['/a', 'ok'],
  ] as const) {
    assert.equal(outcome(spiffeIdFromPath(td, path)), expected, path);
  }
});

test('ID-15 folds scheme and trust domain on input and keeps the case of the path', () => {
  const lower = unwrap(parseSpiffeId('spiffe://td/a'));
  assert.ok(sameSpiffeId(unwrap(parseSpiffeId('SPIFFE://TD/a')), lower));
  assert.ok(sameSpiffeId(unwrap(parseSpiffeId('sPiFfE://tD/a')), lower));
  assert.ok(!sameSpiffeId(unwrap(parseSpiffeId('spiffe://td/A')), lower));
  assert.ok(isMemberOf(lower, unwrap(parseTrustDomain('td'))));
  assert.ok(!isMemberOf(lower, unwrap(parseTrustDomain('td2'))));
});

test('ID-15 what is read is canonical: read again it is the same', () => {
  const segment = fc.stringMatching(/^[a-zA-Z0-9._-]{1,8}$/).filter((s) => !/^\.{1,2}$/.test(s));
  const uri = fc
    .tuple(fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/), fc.array(segment, { maxLength: 5 }))
    .map(([name, segments]) => ['spiffe:/', name, ...segments].join('/'));
  fc.assert(
    fc.property(uri, (text) => {
      const id = unwrap(parseSpiffeId(text));
      assert.equal(unwrap(parseSpiffeId(id.uri)).uri, id.uri);
      assert.equal(id.uri, id.trustDomain.id + id.path);
      assert.equal(id.path, text.slice('spiffe://'.length + id.trustDomain.name.length));
    }),
  );
});

test('no text makes the reader throw, and none but canonical text comes out', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: 'binary', maxLength: 40 }).map((tail) => `spiffe://${tail}`),
    fc.stringMatching(/^spiffe:\/\/[a-z/.%?#:@]{0,30}$/),
  );
  fc.assert(
    fc.property(hostile, (text) => {
      const id = parseSpiffeId(text);
      if (id.ok) assert.match(id.value.uri, /^spiffe:\/\/[a-z0-9._-]+(\/[a-zA-Z0-9._-]+)*$/);
    }),
    { numRuns: 2_000 },
  );
});

test('values cannot be altered after they were checked', () => {
  const id = unwrap(parseSpiffeId('spiffe://td/a'));
  assert.ok(Object.isFrozen(id) && Object.isFrozen(id.trustDomain));
});
