import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeCertificate, makeRoot, type TestCertificate } from '../../test/support/x509.ts';
import { SignetError } from '../base/errors.ts';
import { compare, judge, STATES } from './judge.ts';
import { type BundleCopy, NO_CONTENT, type SourceKind, x509AuthorityOf } from './model.ts';

const NOW = Date.UTC(2027, 0, 1);
const DAY = 86_400_000;
const OPTIONS = { nowMs: NOW, withinMs: 7 * DAY };
const A = makeRoot('example.org');
const B = makeRoot('example.org');
const B_ANEW = makeRoot('example.org', { key: B.key });
const ENDS_SOON = makeRoot('example.org', { notAfterMs: NOW + 7 * DAY });
const ENDS_LATER = makeRoot('example.org', { notAfterMs: NOW + 7 * DAY + 1000 });
const PAST = makeRoot('example.org', { notAfterMs: NOW });

function copy(
  name: string,
  roots: readonly TestCertificate[],
  more: Partial<BundleCopy> & { readonly source?: SourceKind } = {},
): BundleCopy {
  const { source = 'cm', ...rest } = more;
  return {
    place: { context: 'c', source, namespace: 'n', name, key: 'k' },
    trustDomain: 'example.org',
    content: {
      ...NO_CONTENT,
      x509: roots.map(({ certificate }) => x509AuthorityOf(certificate, false)),
    },
    sequence: undefined,
    isPublished: true,
    problem: undefined,
    ...rest,
  };
}

const statesOf = (reference: BundleCopy, other: BundleCopy): readonly string[] =>
  judge([reference, other], { ...OPTIONS, against: 'cm/n/reference' }).at(-1)?.states ?? [];

const cases: readonly (readonly [string, BundleCopy, readonly string[]])[] = [
  ['the same in another order', copy('x', [B, A]), ['InSync']],
  ['one is lacking', copy('x', [A]), ['Missing']],
  ['one too many', copy('x', [A, B, ENDS_LATER]), ['Extra']],
  ['the same key anew', copy('x', [A, B_ANEW]), ['Reissued']],
  ['an older sequence', copy('x', [A, B], { sequence: 6n }), ['Stale']],
  ['the same sequence', copy('x', [A, B], { sequence: 7n }), ['InSync']],
  ['a newer sequence', copy('x', [A, B], { sequence: 8n }), ['InSync']],
  ['older, and one is lacking', copy('x', [A], { sequence: 6n }), ['Stale', 'Missing']],
  ['nothing', copy('x', []), ['Empty']],
  ['one that ends within the time', copy('x', [A, B, ENDS_SOON]), ['Extra', 'Expiring']],
  ['one that is past at this moment', copy('x', [A, B, PAST]), ['Extra', 'Expired']],
  [
    'what cannot be read',
    copy('x', [], { problem: new SignetError('KUBE_FORBIDDEN', 'no') }),
    ['Unreadable'],
  ],
];

for (const [name, other, states] of cases) {
  test(`a copy is judged: ${name}`, () => {
    assert.deepEqual(statesOf(copy('reference', [A, B], { sequence: 7n }), other), states);
  });
}

test('what the reference says is tainted is tainted wherever it stands', () => {
  const reference = copy('reference', [A]);
  const tainted = reference.content.x509.map((one) => ({ ...one, tainted: true }));
  const said = { ...reference, content: { ...reference.content, x509: tainted } };
  assert.deepEqual(statesOf(said, copy('x', [A])), ['Tainted']);
});

test('the reference is the server, then an endpoint, a ClusterTrustBundle, the highest sequence, the commonest', () => {
  const candidates = [
    copy('server', [A], { source: 'server' }),
    copy('endpoint', [A], { source: 'endpoint' }),
    copy('ctb', [A], { source: 'ctb' }),
    copy('newest', [A], { sequence: 9n }),
    copy('older', [B], { sequence: 8n }),
    copy('plain', [B]),
    copy('common-1', [A]),
    copy('common-2', [A]),
  ];
  const order = ['server', 'endpoint', 'ctb', 'newest', 'older', 'common-1'];
  let left: readonly BundleCopy[] = candidates;
  for (const wanted of order) {
    const found = judge(left, OPTIONS).find(({ isReference }) => isReference);
    assert.equal(found?.copy.place.name, wanted);
    left = left.filter(({ place }) => place.name !== wanted);
  }
});

test('a copy that cannot be read, or holds nothing, is no reference', () => {
  const lost = copy('lost', [], {
    source: 'ctb',
    problem: new SignetError('KUBE_FORBIDDEN', 'no'),
  });
  const judged = judge([lost, copy('empty', [], { source: 'ctb' }), copy('x', [A])], OPTIONS);
  assert.deepEqual(
    judged.filter(({ isReference }) => isReference).map(({ copy: one }) => one.place.name),
    ['x'],
  );
});

test('trust domains are never mixed; who says none goes with whom it shares an authority', () => {
  const other = makeRoot('other.example');
  const anonymous = makeCertificate({ ca: true });
  const judged = judge(
    [
      copy('own', [A]),
      copy('foreign', [other], { trustDomain: 'other.example' }),
      copy('istio-ca-root-cert', [A, B], { trustDomain: undefined }),
      copy('stranger', [anonymous], { trustDomain: undefined }),
    ],
    OPTIONS,
  );
  assert.deepEqual(
    Object.fromEntries(
      judged.map((one) => [one.copy.place.name, [one.trustDomain, one.states[0]]]),
    ),
    {
      own: ['example.org', 'InSync'],
      foreign: ['other.example', 'InSync'],
      'istio-ca-root-cert': ['example.org', 'Extra'],
      stranger: [undefined, 'InSync'],
    },
  );
});

test('neither order nor how often it stands counts as a difference, and every judged copy has a state', () => {
  const pool = [A, B, B_ANEW, ENDS_SOON, PAST];
  fc.assert(
    fc.property(fc.subarray(pool), fc.shuffledSubarray(pool), (left, right) => {
      const [a, b] = [copy('a', left), copy('b', right)];
      const turned = copy('a', [...left].reverse());
      assert.deepEqual(compare(turned.content, a.content), {
        missing: [],
        extra: [],
        reissued: [],
      });
      const there = compare(a.content, b.content);
      const back = compare(b.content, a.content);
      assert.deepEqual([...there.missing].sort(), [...back.extra].sort());
      for (const { states } of judge([a, b], OPTIONS)) {
        assert.ok(states.length > 0);
        assert.deepEqual(
          states,
          STATES.filter((state) => states.includes(state)),
        );
      }
    }),
  );
});
