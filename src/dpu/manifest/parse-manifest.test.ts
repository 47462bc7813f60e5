import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  IROT,
  manifestBytes,
  manifestWith,
  type Written,
  writtenManifest,
  writtenRelease,
  writtenTarget,
} from '../../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { utf8 } from '../../base/bytes.ts';
import { MANIFEST_LIMITS } from './manifest-schema.ts';
import { checkSuccession, parseManifest } from './parse-manifest.ts';

const HEX = 'ab'.repeat(64);

function parse(changes: Written) {
  return parseManifest(manifestBytes(writtenManifest(changes)));
}

function parseTarget(changes: Written) {
  return parse({ targets: [writtenTarget(changes)] });
}

function parseRelease(changes: Written) {
  return parseTarget({ releases: [writtenRelease('r1', 1, changes)] });
}

function parseValue(value: unknown) {
  return parseRelease({ measurements: [{ index: 2, values: [value] }] });
}

function many<T>(count: number, make: (at: number) => T): T[] {
  return Array.from({ length: count }, (_, at) => make(at));
}

describe('a reference manifest', () => {
  test('is read with its releases from the oldest to the newest', () => {
    const releases = [writtenRelease('r9', 9), writtenRelease('r1', 1), writtenRelease('r5', 5)];
    const manifest = manifestWith({ releases });
    const target = manifest.targets.get(IROT);
    assert.deepEqual(
      target?.releases.map(({ id, order }) => [id, order]),
      [
        ['r1', 1],
        ['r5', 5],
        ['r9', 9],
      ],
    );
    assert.equal(target?.minimumRelease, target?.releases[0]);
    assert.equal(target?.releases[0]?.versions.get('nic'), '28.1.1000');
  });

  test('has its times in milliseconds', () => {
    const manifest = manifestWith({}, { expiresAt: '2031-01-01T00:00:00Z' });
    const { issuedAtMs, expiresAtMs } = manifest;
    assert.deepEqual([issuedAtMs, expiresAtMs], [Date.UTC(2030, 0, 1), Date.UTC(2031, 0, 1)]);
  });

  test('may leave out what a product does not have', () => {
    const { format, rollbackCounters, ...rest } = writtenTarget();
    const [release] = (rest.releases as Written[]) ?? [];
    const { versions, layers, ...bare } = release ?? {};
    const target = { ...rest, fwids: 'ignored', releases: [bare] };
    const manifest = assertValue(parse({ targets: [target] }));
    const read = manifest.targets.get(IROT);
    assert.deepEqual([read?.format, read?.rollbackCounters], [undefined, []]);
  });

  for (const [name, accepted, refused] of [
    ['index', [1, 254], [0, 255, 1.5, -1, '1', null]],
    ['sequence', [1, Number.MAX_SAFE_INTEGER], [0, 1.5, '7', 2 ** 53]],
    ['order', [0, Number.MAX_SAFE_INTEGER], [-1, 0.5]],
  ] as const) {
    test(`takes ${name} of ${accepted.join(' and ')}, not of ${refused.join(', ')}`, () => {
      const withNumber = (value: unknown) => {
        if (name === 'sequence') return parse({ sequence: value });
        if (name === 'order') return parseRelease({ order: value });
        return parseRelease({ measurements: [{ index: value, values: [`sha512:${HEX}`] }] });
      };
      for (const value of accepted) assertValue(withNumber(value));
      for (const value of refused) assertRefused(withNumber(value), 'MANIFEST_MALFORMED');
    });
  }

  test('takes values of these forms only', () => {
    for (const value of [
      `sha256:${'0'.repeat(64)}`,
      `sha384:${'0'.repeat(96)}`,
      `sha512:${'0'.repeat(128)}`,
      'raw:00',
      `raw:${'00'.repeat(MANIFEST_LIMITS.rawBytes)}`,
    ]) {
      assertValue(parseValue(value));
    }
    for (const value of [
      `sha256:${'0'.repeat(62)}`,
      `sha256:${'0'.repeat(66)}`,
      `sha384:${'0'.repeat(64)}`,
      `sha1:${'0'.repeat(40)}`,
      `SHA256:${'0'.repeat(64)}`,
      `sha256:${'A'.repeat(64)}`,
      `sha256:${'0'.repeat(63)}g`,
      ` sha256:${'0'.repeat(64)}`,
      '0'.repeat(64),
      'raw:',
      'raw:0',
      `raw:${'00'.repeat(MANIFEST_LIMITS.rawBytes + 1)}`,
      7,
      null,
    ]) {
      assertRefused(parseValue(value), 'MANIFEST_MALFORMED');
    }
  });

  for (const [what, limit, make] of [
    [
      'targets',
      MANIFEST_LIMITS.targets,
      (count: number) =>
        parse({
          targets: many(count, (at) => writtenTarget({ id: `t${at}` })),
        }),
    ],
    [
      'releases',
      MANIFEST_LIMITS.releases,
      (count: number) =>
        parseTarget({
          releases: many(count, (at) => writtenRelease(`r${at}`, at)),
        }),
    ],
    [
      'values',
      MANIFEST_LIMITS.values,
      (count: number) =>
        parseRelease({
          measurements: [{ index: 2, values: many(count, () => `sha512:${HEX}`) }],
        }),
    ],
    [
      'firmware ids',
      MANIFEST_LIMITS.fwids,
      (count: number) =>
        parseRelease({
          layers: [{ name: 'L5', fwids: many(count, () => `sha384:${'ab'.repeat(48)}`) }],
        }),
    ],
  ] as const) {
    test(`has at most ${limit} ${what}`, () => {
      assertValue(make(limit - 1));
      assertValue(make(limit));
      assertRefused(make(limit + 1), 'MANIFEST_MALFORMED');
      assertRefused(make(0), 'MANIFEST_MALFORMED');
    });
  }

  test('has at most 4 MiB', () => {
    const padded = (length: number): Uint8Array => {
      const bytes = manifestBytes();
      return Buffer.concat([bytes, Buffer.alloc(length - bytes.length, ' ')]);
    };
    assertValue(parseManifest(padded(MANIFEST_LIMITS.maxBytes)));
    assertRefused(parseManifest(padded(MANIFEST_LIMITS.maxBytes + 1)), 'JSON_TOO_LARGE');
  });
});

const REFUSED: readonly (readonly [string, () => ReturnType<typeof parseManifest>])[] = [
  ['another schema', () => parse({ schema: 'signet-reference-manifest/2' })],
  ['a field that is not known', () => parse({ comment: 'hello' })],
  ['a field of a target that is not known', () => parseTarget({ minimum: 'r1' })],
  ['a field of a release that is not known', () => parseRelease({ allowed: false })],
  ['no firmware id policy', () => parseTarget({ fwids: undefined })],
  ['no baseline list', () => parseTarget({ baseline: undefined })],
  ['no minimum release', () => parseTarget({ minimumRelease: undefined })],
  ['a minimum release that it does not have', () => parseTarget({ minimumRelease: 'r0' })],
  ['a target twice', () => parse({ targets: [writtenTarget(), writtenTarget()] })],
  [
    'a release twice',
    () => parseTarget({ releases: [writtenRelease('r1', 1), writtenRelease('r1', 2)] }),
  ],
  [
    'two releases of one order',
    () => parseTarget({ releases: [writtenRelease('r1', 1), writtenRelease('r2', 1)] }),
  ],
  [
    'an index twice in a release',
    () =>
      parseRelease({
        measurements: [2, 2].map((index) => ({ index, values: [`sha512:${HEX}`] })),
      }),
  ],
  [
    'a measurement without values',
    () => parseRelease({ measurements: [{ index: 2, values: [] }] }),
  ],
  ['an index twice in the baseline', () => parseTarget({ baseline: [7, 7] })],
  ['an index both listed and of the baseline', () => parseTarget({ baseline: [2] })],
  ['an index both listed and a counter', () => parseTarget({ rollbackCounters: [3] })],
  ['a layer twice', () => parseRelease({ layers: ['L5', 'L5'].map(layer) })],
  ['a layer at the root', () => parseRelease({ layers: [layer('L1')] })],
  ['a layer beyond the longest chain', () => parseRelease({ layers: [layer('L9')] })],
  ['no layers where firmware ids are required', () => parseRelease({ layers: [] })],
  ['a raw firmware id', () => parseRelease({ layers: [{ name: 'L5', fwids: ['raw:00'] }] })],
  [
    'the version of a part twice',
    () => parseRelease({ versions: ['1', '2'].map((version) => ({ part: 'nic', version })) }),
  ],
  ['a name with a colon', () => parseTarget({ deviceClass: 'a:b' })],
  ['a name of 129 characters', () => parse({ id: 'x'.repeat(129) })],
  ['an empty name', () => parse({ id: '' })],
  ['a time with an offset', () => parse({ issuedAt: '2030-01-01T00:00:00+00:00' })],
  ['a time with a fraction', () => parse({ issuedAt: '2030-01-01T00:00:00.5Z' })],
  ['a day that does not exist', () => parse({ issuedAt: '2030-02-30T00:00:00Z' })],
  ['an end at its beginning', () => parse({ expiresAt: '2030-01-01T00:00:00Z' })],
];

function layer(name: string): Written {
  return { name, fwids: [`sha384:${'ab'.repeat(48)}`] };
}

describe('a reference manifest is refused with', () => {
  for (const [name, attempt] of REFUSED) {
    test(name, () => assertRefused(attempt(), 'MANIFEST_MALFORMED'));
  }

  test('a key twice, at any depth', () => {
    const text = JSON.stringify(writtenManifest());
    for (const [from, to] of [
      ['"sequence":7', '"sequence":7,"sequence":8'],
      ['"fwids":"required"', '"fwids":"required","fwids":"ignored"'],
      ['"order":1', '"order":1,"order":9'],
    ] as const) {
      assertRefused(parseManifest(utf8(text.replace(from, to))), 'JSON_DUPLICATE_KEY');
    }
  });

  test('what is no JSON object', () => {
    for (const text of ['', '[]', 'null', '{', `${JSON.stringify(writtenManifest())} {}`]) {
      assertRefused(parseManifest(utf8(text)), 'JSON_SYNTAX');
    }
  });
});

test('a manifest is replaced by a newer revision of itself only', () => {
  const at = (sequence: number, id = 'a') => ({ id, sequence, sha256: `${sequence}` });
  assertValue(checkSuccession(at(7), at(8)));
  assertValue(checkSuccession(at(7), at(7)));
  for (const next of [at(6), at(8, 'b'), { ...at(7), sha256: 'another' }]) {
    assertRefused(checkSuccession(at(7), next), 'MANIFEST_OLDER');
  }
});
