import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TRUST_DOMAIN } from '../../test/support/state.ts';
import type { ErrorCode } from '../base/errors.ts';
import { unwrap } from '../base/result.ts';
import { checkEntryDraft, type EntryInput, MAX_ENTRY_SELECTORS } from './entry-draft.ts';

const GOOD: EntryInput = {
  spiffeId: { trustDomain: 'example.org', path: '/web' },
  parentId: { trustDomain: 'example.org', path: '/spire/agent/join_token/abc' },
  selectors: [{ type: 'unix', value: 'uid:1000' }],
  x509SvidTtlSeconds: 0,
  jwtSvidTtlSeconds: 0,
  federatesWith: [],
  admin: false,
  downstream: false,
  expiresAtSeconds: 0n,
  dnsNames: [],
  storeSvid: false,
  hint: '',
  disableX509SvidPrefetch: false,
  jwtSvidIncludeJti: false,
};

const own = (path: string) => ({ trustDomain: 'example.org', path });
const uids = (count: number) =>
  Array.from({ length: count }, (_, uid) => ({ type: 'unix', value: `uid:${uid}` }));
const domains = (count: number) => Array.from({ length: count }, (_, index) => `td${index}`);

const ACCEPTED: readonly [name: string, change: Partial<EntryInput>][] = [
  ['the plain entry', {}],
  ['an alias below the server', { parentId: own('/spire/server') }],
  ['a workload as parent', { parentId: own('/cluster/a') }],
  ['a path that only begins like the reserved area', { spiffeId: own('/spirex') }],
  ['256 selectors', { selectors: uids(MAX_ENTRY_SELECTORS) }],
  ['a selector of 4096 bytes', { selectors: [{ type: 't', value: 'v'.repeat(4094) }] }],
  ['the longest lifetime', { x509SvidTtlSeconds: 2 ** 31 - 1, jwtSvidTtlSeconds: 2 ** 31 - 1 }],
  ['a hint of 1024 bytes', { hint: 'h'.repeat(1024) }],
  ['128 federated trust domains', { federatesWith: domains(128) }],
  ['a federated trust domain as SPIFFE ID', { federatesWith: ['spiffe://other.org'] }],
  ['a SPIFFE ID of 2048 bytes', { spiffeId: own(`/${'a'.repeat(2048 - 21)}`) }],
  ['SQL in a selector', { selectors: [{ type: 'k8s', value: "ns:'); DROP TABLE entries;--" }] }],
];

const REFUSED: readonly [name: string, change: Partial<EntryInput>, code: ErrorCode][] = [
  ['no SPIFFE ID', { spiffeId: undefined }, 'ENTRY_SPIFFE_ID'],
  ['a bare trust domain', { spiffeId: own('') }, 'ENTRY_SPIFFE_ID'],
  ['another trust domain', { spiffeId: { trustDomain: 'o', path: '/a' } }, 'ENTRY_SPIFFE_ID'],
  ['the reserved area itself', { spiffeId: own('/spire') }, 'ENTRY_SPIFFE_ID'],
  ["the server's ID", { spiffeId: own('/spire/server') }, 'ENTRY_SPIFFE_ID'],
  ["an agent's ID", { spiffeId: own('/spire/agent/x') }, 'ENTRY_SPIFFE_ID'],
  [
    'upper case',
    { spiffeId: { trustDomain: 'Example.org', path: '/a' } },
    'TRUST_DOMAIN_CHARACTER',
  ],
  ['a path without slash', { spiffeId: own('web') }, 'SPIFFE_ID_PATH_NO_SLASH'],
  ['a dot segment', { spiffeId: own('/a/../b') }, 'SPIFFE_ID_DOT_SEGMENT'],
  ['a percent sign', { spiffeId: own('/a/%2e%2e/b') }, 'SPIFFE_ID_PATH_CHARACTER'],
  ['2049 bytes', { spiffeId: own(`/${'a'.repeat(2049 - 21)}`) }, 'SPIFFE_ID_TOO_LONG'],
  ['no parent', { parentId: undefined }, 'ENTRY_PARENT_ID'],
  ['a bare trust domain as parent', { parentId: own('') }, 'ENTRY_PARENT_ID'],
  ['a foreign parent', { parentId: { trustDomain: 'o', path: '/a' } }, 'ENTRY_PARENT_ID'],
  ['no selector', { selectors: [] }, 'ENTRY_SELECTORS_EMPTY'],
  ['257 selectors', { selectors: uids(MAX_ENTRY_SELECTORS + 1) }, 'ENTRY_SELECTORS_TOO_MANY'],
  ['10,000 selectors', { selectors: uids(10_000) }, 'ENTRY_SELECTORS_TOO_MANY'],
  ['a selector twice', { selectors: [...uids(2), ...uids(1)] }, 'ENTRY_SELECTOR_REPEATED'],
  ['no selector type', { selectors: [{ type: '', value: 'v' }] }, 'SELECTOR_TYPE'],
  ['a colon in the type', { selectors: [{ type: 'a:b', value: 'v' }] }, 'SELECTOR_TYPE'],
  ['no selector value', { selectors: [{ type: 't', value: '' }] }, 'SELECTOR_VALUE'],
  ['a NUL', { selectors: [{ type: 't', value: 'a\0b' }] }, 'SELECTOR_VALUE'],
  ['a lone surrogate', { selectors: [{ type: 't', value: '\ud800' }] }, 'SELECTOR_VALUE'],
  [
    'a selector of 4097 bytes',
    { selectors: [{ type: 't', value: 'v'.repeat(4095) }] },
    'SELECTOR_TOO_LONG',
  ],
  ['a negative lifetime', { x509SvidTtlSeconds: -1 }, 'TTL_RANGE'],
  ['a lifetime over int32', { jwtSvidTtlSeconds: 2 ** 31 }, 'TTL_RANGE'],
  ['a broken lifetime', { x509SvidTtlSeconds: 1.5 }, 'TTL_RANGE'],
  ['a negative expiry', { expiresAtSeconds: -1n }, 'ENTRY_EXPIRY'],
  ['an expiry beyond counting', { expiresAtSeconds: 2n ** 53n }, 'ENTRY_EXPIRY'],
  ['a hint of 1025 bytes', { hint: 'h'.repeat(1025) }, 'ENTRY_HINT'],
  ['a hint of 1026 bytes in 342 letters', { hint: '字'.repeat(342) }, 'ENTRY_HINT'],
  ['a replaced byte in a hint', { hint: 'a\ufffd' }, 'ENTRY_HINT'],
  ['129 federated trust domains', { federatesWith: domains(129) }, 'ENTRY_FEDERATES_WITH'],
  ['a malformed trust domain', { federatesWith: ['a b'] }, 'TRUST_DOMAIN_CHARACTER'],
  ['a malformed DNS name', { dnsNames: ['-a.example.org'] }, 'DNS_NAME_INVALID'],
];

describe('entry drafts', () => {
  for (const [name, change] of ACCEPTED) {
    it(`accepts ${name}`, () => {
      const result = checkEntryDraft({ ...GOOD, ...change }, TRUST_DOMAIN);
      assert.equal(result.ok, true);
    });
  }

  for (const [name, change, code] of REFUSED) {
    it(`refuses ${name}`, () => {
      const result = checkEntryDraft({ ...GOOD, ...change }, TRUST_DOMAIN);
      assert.equal(result.ok ? 'accepted' : result.error.code, code);
    });
  }

  it('keeps what was said, a repeated federated trust domain once', () => {
    const input: EntryInput = {
      ...GOOD,
      selectors: [
        { type: 'unix', value: 'uid:1:2' },
        { type: 'k8s', value: 'ns:a' },
      ],
      x509SvidTtlSeconds: 60,
      jwtSvidTtlSeconds: 30,
      federatesWith: ['b.org', 'spiffe://b.org', 'a.org'],
      admin: true,
      expiresAtSeconds: 5n,
      dnsNames: ['web.example.org', '*.example.org'],
      hint: 'internal',
      jwtSvidIncludeJti: true,
    };
    const draft = unwrap(checkEntryDraft(input, TRUST_DOMAIN));
    assert.deepEqual(
      draft.selectors.map(({ text }) => text),
      ['unix:uid:1:2', 'k8s:ns:a'],
    );
    assert.deepEqual(
      draft.federatesWith.map(({ name }) => name),
      ['b.org', 'a.org'],
    );
    assert.deepEqual(draft.dnsNames, input.dnsNames);
    assert.equal(draft.spiffeId.uri, 'spiffe://example.org/web');
    assert.equal(draft.expiresAtSeconds, 5);
    assert.equal(draft.admin, true);
    assert.equal(draft.downstream, false);
    assert.equal(draft.jwtSvidIncludeJti, true);
  });

  it('answers with a code whatever the strings are', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 });
    fc.assert(
      fc.property(text, text, text, text, (trustDomain, path, type, value) => {
        const input = {
          ...GOOD,
          spiffeId: { trustDomain, path },
          selectors: [{ type, value }],
          hint: value,
          dnsNames: [type],
          federatesWith: [path],
        };
        const result = checkEntryDraft(input, TRUST_DOMAIN);
        return result.ok || result.error.code !== 'INTERNAL';
      }),
    );
  });
});
