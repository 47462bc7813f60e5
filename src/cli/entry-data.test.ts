import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { utf8 } from '../base/bytes.ts';
import { Entry } from '../gen/spire/api/types/entry.ts';
import { parseEntries, parseIds } from './entry-data.ts';
import { safeJson } from './text.ts';

const parse = (value: unknown) => parseEntries(utf8(JSON.stringify(value)));

const spireFile = {
  entries: [
    {
      selectors: [{ type: 'unix', value: 'uid:1000' }],
      spiffe_id: 'spiffe://example.org/web',
      parent_id: 'spiffe://example.org/node',
      x509_svid_ttl: 60,
      jwt_svid_ttl: 30,
      federates_with: ['spiffe://other.test'],
      dns_names: ['web.test'],
      admin: true,
      store_svid: true,
      hint: 'internal',
      entryExpiry: 1893456000,
    },
  ],
};

test("reads a file in SPIRE's form", () => {
  const [entry] = assertValue(parse(spireFile));
  assert.deepEqual(entry?.spiffeId, { trustDomain: 'example.org', path: '/web' });
  assert.deepEqual(entry?.parentId, { trustDomain: 'example.org', path: '/node' });
  assert.deepEqual(entry?.selectors, [{ type: 'unix', value: 'uid:1000' }]);
  assert.equal(entry?.x509SvidTtl, 60);
  assert.equal(entry?.jwtSvidTtl, 30);
  assert.deepEqual(entry?.dnsNames, ['web.test']);
  assert.equal(entry?.expiresAt, 1893456000n);
  assert.ok(entry?.admin && entry.storeSvid && !entry.downstream);
});

test('reads back what "entry show -o json" prints', () => {
  const entry: Entry = {
    ...Entry.fromJSON({}),
    id: 'e1',
    spiffeId: { trustDomain: 'example.org', path: '/web' },
    parentId: { trustDomain: 'example.org', path: '/node' },
    selectors: [{ type: 'k8s', value: 'ns:a:b' }],
    expiresAt: 9007199254740993n,
    hint: 'x',
    downstream: true,
    additionalAttributes: { disableX509SvidPrefetch: true, jwtSvidIncludeJti: false },
  };
  const printed = safeJson({ entries: [Entry.toJSON(entry)] });
  assert.deepEqual(assertValue(parseEntries(utf8(printed))), [entry]);
});

test('reads selectors as text, whose value may hold colons', () => {
  const [entry] = assertValue(parse({ entries: [{ selectors: ['k8s:pod-label:a:b'] }] }));
  assert.deepEqual(entry?.selectors, [{ type: 'k8s', value: 'pod-label:a:b' }]);
});

const hostile: readonly (readonly [string, string])[] = [
  ['no JSON', '{'],
  ['a key twice', '{"entries":[],"entries":[]}'],
  ['no object', '[]'],
  ['no list', '{"entries":{}}'],
  ['an empty list', '{"entries":[]}'],
  ['another key beside the list', '{"entries":[{}],"x":1}'],
  ['an entry that is no object', '{"entries":[1]}'],
  ['an unknown key in an entry', '{"entries":[{"spifeId":"spiffe://a/b"}]}'],
  ['a key of every object', '{"entries":[{"constructor":"x"}]}'],
  ['a SPIFFE ID with a dot segment', '{"entries":[{"spiffeId":"spiffe://a/../b"}]}'],
  ['a trust domain in upper case', '{"entries":[{"parentId":{"trustDomain":"A","path":"/b"}}]}'],
  ['a selector without a type', '{"entries":[{"selectors":["x"]}]}'],
  ['a selector of other types', '{"entries":[{"selectors":[1]}]}'],
  ['a negative life', '{"entries":[{"x509SvidTtl":-1}]}'],
  ['a life of 2^31 s', '{"entries":[{"x509SvidTtl":2147483648}]}'],
  ['a life that is a fraction', '{"entries":[{"jwtSvidTtl":1.5}]}'],
  ['an end of 2^63 s', '{"entries":[{"expiresAt":"9223372036854775808"}]}'],
  ['a flag that is a string', '{"entries":[{"admin":"true"}]}'],
  ['a name that is a number', '{"entries":[{"dnsNames":[1]}]}'],
  ['an unknown attribute', '{"entries":[{"additionalAttributes":{"x":true}}]}'],
];

for (const [name, text] of hostile) {
  test(`refuses data with ${name}`, () => {
    assertRefused(parseEntries(utf8(text)), 'CLI_DATA_INVALID');
  });
}

test('names the entry and the key that are wrong', () => {
  const refused = parse({ entries: [{}, { hint: 1 }] });
  assert.equal(refused.ok ? '' : refused.error.message, 'entries[1]: hint must be a string');
});

test('reads a list of IDs, and nothing but strings in it', () => {
  assert.deepEqual(assertValue(parseIds(utf8('{"ids":["a","b"]}'))), ['a', 'b']);
  for (const text of ['{"ids":[]}', '{"ids":[1]}', '{"ids":[""]}', '{"id":["a"]}']) {
    assertRefused(parseIds(utf8(text)), 'CLI_DATA_INVALID');
  }
});
