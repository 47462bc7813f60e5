import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Cbor,
  cbor,
  comid,
  digestMeasurement,
  environment,
  numbered,
  rawMeasurement,
  sign1Parts,
  signCorim,
  tagged,
  unsignedCorim,
} from '../../../test/support/corim.ts';
import {
  IROT,
  manifestBytes,
  measuredBlocks,
  measuredLayers,
  sha512,
  type Written,
  writtenManifest,
  writtenRelease,
  writtenTarget,
} from '../../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey } from '../../../test/support/x509.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { Result } from '../../base/result.ts';
import { appraise } from './appraise.ts';
import { type Corim, MAX_CORIM_BYTES, readCorim } from './corim.ts';
import { NEW_DEVICE } from './device-record.ts';
import { parseManifest } from './parse-manifest.ts';

const AT_MS = Date.UTC(2030, 0, 1);
const AT = AT_MS / 1000;
const key = makeKey('ec-p384');
const stranger = makeKey('ec-p384');

const SOC = environment('BlueField-3 SoC');
const NIC = environment('BlueField-3 NIC');

/** What release r2 measures, in two environments as NVIDIA's CoMIDs have it. */
const TAGS = [
  comid([
    [
      SOC,
      [
        digestMeasurement(2, [[8, sha512('psc r2')]]),
        digestMeasurement(4, [[8, sha512('arm r2')]]),
        rawMeasurement(1, Uint8Array.of(0, 1, 0, 3)),
      ],
    ],
  ]),
  comid([[NIC, [digestMeasurement(3, [[8, sha512('nic r2')]])]]]),
];

function read(file: Uint8Array, atMs = AT_MS): Result<Corim> {
  return readCorim(file, { keys: [key.publicKey], atMs });
}

/** An unsigned CoRIM of one CoMID with these measurements. */
function measured(...measurements: readonly Cbor[]): Uint8Array {
  return unsignedCorim([comid([[SOC, measurements]])]);
}

function valuesOf(measurement: Cbor): readonly string[] {
  const [reference] = assertValue(read(measured(measurement))).references;
  return (reference?.values ?? []).map(({ algorithm, bytes }) => `${algorithm} ${bytes.length}`);
}

describe('a CoRIM', () => {
  test('is read with the environment, index and value of each reference', () => {
    const corim = assertValue(read(unsignedCorim(TAGS)));
    assert.deepEqual([corim.id, corim.signed], ['test CoRIM', false]);
    assert.match(corim.sha256, /^[0-9a-f]{64}$/);
    assert.deepEqual(
      corim.references.map(({ environment: { vendor, model }, index, values }) => [
        `${vendor} ${model}`,
        index,
        ...values.map(({ algorithm, bytes }) => `${algorithm} ${bytes.length}`),
      ]),
      [
        ['NVIDIA BlueField-3 SoC', 2, 'sha512 64'],
        ['NVIDIA BlueField-3 SoC', 4, 'sha512 64'],
        ['NVIDIA BlueField-3 SoC', 1, 'raw 4'],
        ['NVIDIA BlueField-3 NIC', 3, 'sha512 64'],
      ],
    );
  });

  for (const type of ['ec-p256', 'ec-p384', 'ec-p521'] as const) {
    test(`is read where a pinned ${type} key signed it (COSE_Sign1)`, () => {
      const signer = makeKey(type);
      const trust = { keys: [key.publicKey, signer.publicKey], atMs: AT_MS };
      const corim = assertValue(readCorim(signCorim(unsignedCorim(TAGS), signer), trust));
      assert.deepEqual([corim.signed, corim.references.length], [true, 4]);
    });
  }

  test('has every field of an environment that it states', () => {
    const about = environment('M', { 0: tagged(111, Uint8Array.of(0x2b, 6)), 3: 5, 4: 7 });
    const file = unsignedCorim([comid([[about, [digestMeasurement(2, [[8, sha512('x')]])]]])]);
    assert.deepEqual(assertValue(read(file)).references[0]?.environment, {
      classId: '111:2b06',
      vendor: 'NVIDIA',
      model: 'M',
      layer: 5,
      index: 7,
    });
  });

  test('may have a UUID as its id', () => {
    for (const id of [tagged(37, new Uint8Array(16)), new Uint8Array(16)]) {
      assert.equal(assertValue(read(unsignedCorim(TAGS, { 0: id }))).id, '00'.repeat(16));
    }
  });

  test('may hold tags of other kinds, which say nothing of measurements', () => {
    const coswid = tagged(505, cbor(numbered({ 0: 'swid' })));
    assert.equal(assertValue(read(unsignedCorim([coswid, ...TAGS]))).references.length, 4);
  });
});

describe('the value of a reference', () => {
  for (const [id, bytes, expected] of [
    [1, 32, 'sha256 32'],
    [7, 48, 'sha384 48'],
    [8, 64, 'sha512 64'],
    ['sha-384', 48, 'sha384 48'],
  ] as const) {
    test(`by IANA's ${id} is ${expected}`, () => {
      assert.deepEqual(valuesOf(digestMeasurement(2, [[id, new Uint8Array(bytes)]])), [expected]);
      for (const wrong of [bytes - 1, bytes + 1]) {
        const file = measured(digestMeasurement(2, [[id, new Uint8Array(wrong)]]));
        assertRefused(read(file), 'CORIM_MALFORMED');
      }
    });
  }

  test('is one of several digests, those by unknown algorithms left out', () => {
    const digests = [
      [7, new Uint8Array(48)],
      [12, new Uint8Array(64)],
      [8, new Uint8Array(64)],
    ] as const;
    assert.deepEqual(valuesOf(digestMeasurement(2, digests)), ['sha384 48', 'sha512 64']);
  });

  test('stays one where a version or a name describes it', () => {
    const described = numbered({ 0: numbered({ 0: '1.2' }), 2: [[8, sha512('x')]], 11: 'NIC' });
    assert.deepEqual(valuesOf(numbered({ 0: 2, 1: described })), ['sha512 64']);
  });

  for (const [what, values] of [
    ['an unknown algorithm only', { 2: [[12, new Uint8Array(64)]] }],
    ['a digest and a raw value', { 2: [[8, sha512('x')]], 4: tagged(560, new Uint8Array(4)) }],
    ['a mask', { 4: tagged(560, new Uint8Array(4)), 5: new Uint8Array(4) }],
    ['a masked raw value', { 4: tagged(563, [new Uint8Array(4), new Uint8Array(4)]) }],
    ['a bare raw value', { 4: new Uint8Array(4) }],
    ['a raw value under another tag', { 4: tagged(561, new Uint8Array(4)) }],
    ['a security version', { 1: 7 }],
    ['a digest and a security version', { 1: 7, 2: [[8, sha512('x')]] }],
    ['flags', { 2: [[8, sha512('x')]], 3: new Map() }],
    ['nothing', {}],
  ] as const) {
    test(`is none where it has ${what}`, () => {
      assert.deepEqual(valuesOf(numbered({ 0: 2, 1: numbered(values) })), []);
    });
  }

  test('is none where another authority must have measured it', () => {
    const bound = numbered({ 0: 2, 1: numbered({ 2: [[8, sha512('x')]] }), 2: ['authority'] });
    assert.deepEqual(valuesOf(bound), []);
  });

  test('has no index where its key is no number', () => {
    for (const index of ['2', tagged(111, Uint8Array.of(0x2b)), undefined]) {
      const file = measured(digestMeasurement(index, [[8, sha512('x')]]));
      assert.equal(assertValue(read(file)).references[0]?.index, undefined);
    }
  });
});

const payload = unsignedCorim(TAGS);
const parts = (at: number, value: Cbor): Uint8Array =>
  cbor(tagged(18, sign1Parts(payload, key).with(at, value)));
const validity = (from: Cbor, until: Cbor) =>
  numbered({ 0: from && tagged(1, from), 1: until && tagged(1, until) });
const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};

const REFUSED: readonly (readonly [string, () => Uint8Array, ErrorCode])[] = [
  ['nothing', () => new Uint8Array(), 'CORIM_MALFORMED'],
  ['bytes after it', () => Buffer.concat([payload, Uint8Array.of(0)]), 'CORIM_MALFORMED'],
  ['no tag', () => cbor(numbered({ 0: 'id', 1: TAGS })), 'CORIM_MALFORMED'],
  ['another tag', () => cbor(tagged(505, numbered({ 0: 'id', 1: TAGS }))), 'CORIM_MALFORMED'],
  ['the tag of a bare CoMID', () => cbor(comid([])), 'CORIM_MALFORMED'],
  ['a tag that nobody knows', () => cbor(tagged(999, 0)), 'CORIM_MALFORMED'],
  ['a map without its tags', () => cbor(tagged(501, numbered({ 0: 'id' }))), 'CORIM_MALFORMED'],
  ['no tags in it', () => unsignedCorim([]), 'CORIM_MALFORMED'],
  ['no id', () => cbor(tagged(501, numbered({ 1: TAGS }))), 'CORIM_MALFORMED'],
  ['a tag that is not in bytes', () => unsignedCorim([tagged(506, new Map())]), 'CORIM_MALFORMED'],
  ['a CoMID that is no map', () => unsignedCorim([tagged(506, cbor([]))]), 'CORIM_MALFORMED'],
  [
    'a CoMID without triples',
    () => unsignedCorim([tagged(506, cbor(numbered({ 1: new Map() })))]),
    'CORIM_MALFORMED',
  ],
  ['a triple of three', () => unsignedCorim([comid([[SOC, [], []]])]), 'CORIM_MALFORMED'],
  ['a measurement that is no map', () => measured([]), 'CORIM_MALFORMED'],
  ['a measurement without values', () => measured(numbered({ 0: 2 })), 'CORIM_MALFORMED'],
  ['no digests', () => measured(digestMeasurement(2, [])), 'CORIM_MALFORMED'],
  [
    'a digest of three',
    () => measured(numbered({ 0: 2, 1: numbered({ 2: [[8, sha512('x'), 0]] }) })),
    'CORIM_MALFORMED',
  ],
  ['an indefinite length', () => withMapHead([0xbf], [0xff]), 'CORIM_MALFORMED'],
  [
    'a length that is not the shortest',
    () => Buffer.concat([Uint8Array.of(0xda, 0, 0, 0x01, 0xf5), payload.subarray(3)]),
    'CORIM_MALFORMED',
  ],
  ['a key twice', () => withMapHead([0xa3], [0, 0x61, 0x61]), 'CORIM_MALFORMED'],
  ['a million levels', () => deep(1_000_000), 'CORIM_MALFORMED'],
  ['a signature by a stranger', () => signCorim(payload, stranger), 'CORIM_UNSIGNED'],
  ['a changed payload', () => parts(2, flipped(payload, 20)), 'CORIM_UNSIGNED'],
  ['a changed header', () => parts(0, cbor(numbered({ 1: -35, 3: 'x' }))), 'CORIM_UNSIGNED'],
  ['a changed signature', () => parts(3, new Uint8Array(96)), 'CORIM_UNSIGNED'],
  ['no signature', () => parts(3, new Uint8Array()), 'CORIM_UNSIGNED'],
  [
    'a signature over other external data',
    () => signCorim(payload, key, { externalData: Uint8Array.of(1) }),
    'CORIM_UNSIGNED',
  ],
  ['its payload elsewhere', () => parts(2, null), 'CORIM_MALFORMED'],
  ['a fifth part', () => cbor(tagged(18, [...sign1Parts(payload, key), 0])), 'CORIM_MALFORMED'],
  ['headers that are no map', () => parts(0, cbor([])), 'CORIM_MALFORMED'],
  ['no headers', () => parts(0, new Uint8Array()), 'CORIM_MALFORMED'],
  ['EdDSA', () => signCorim(payload, key, { algorithm: -8 }), 'CORIM_UNSUPPORTED'],
  ['ES256 by a P-384 key', () => signCorim(payload, key, { algorithm: -7 }), 'CORIM_UNSIGNED'],
  [
    'a critical header',
    () => signCorim(payload, key, { headers: { 2: [99], 99: 1 } }),
    'CORIM_UNSUPPORTED',
  ],
  [
    'another content type',
    () => signCorim(payload, key, { headers: { 3: 'text/plain' } }),
    'CORIM_MALFORMED',
  ],
  ['no CoRIM inside', () => signCorim(cbor('hello'), key), 'CORIM_MALFORMED'],
  ['a signed one inside', () => signCorim(signCorim(payload, key), key), 'CORIM_MALFORMED'],
];

/** The CoRIM with another head in place of that of its map of two, and bytes after its end. */
function withMapHead(head: readonly number[], end: readonly number[]): Uint8Array {
  assert.equal(payload[3], 0xa2);
  return Uint8Array.from([...payload.subarray(0, 3), ...head, ...payload.subarray(4), ...end]);
}

/** The CoRIM with a third member, of lists in lists: it has so many levels in all. */
function deep(levels: number): Uint8Array {
  const inside = levels - 2;
  const lists = new Uint8Array(inside).fill(0x81).with(inside - 1, 0x80);
  return Buffer.concat([withMapHead([0xa3], [0x18, 99]), lists]);
}

/** The CoRIM with an id that is so long that the whole has so many bytes. */
function long(bytes: number): Uint8Array {
  const id = (length: number) => unsignedCorim(TAGS, { 0: 'x'.repeat(length) });
  return id(bytes - (id(100_000).length - 100_000));
}

describe('a CoRIM is refused with', () => {
  for (const [name, file, code] of REFUSED) {
    test(name, () => assertRefused(read(file()), code));
  }

  test('25 levels, but has up to 24', () => {
    assertValue(read(deep(23)));
    assertValue(read(deep(24)));
    assertRefused(read(deep(25)), 'CORIM_MALFORMED');
  });

  test('more than 4,096 reference values in one CoMID', () => {
    const raw = rawMeasurement(2, Uint8Array.of(1));
    const of = (count: number) => read(measured(...Array<Cbor>(count).fill(raw)));
    assertValue(of(4095));
    assert.equal(assertValue(of(4096)).references.length, 4096);
    assertRefused(of(4097), 'CORIM_MALFORMED');
  });

  test('more than 4 MiB', () => {
    assert.equal(long(MAX_CORIM_BYTES).length, MAX_CORIM_BYTES);
    assertValue(read(long(MAX_CORIM_BYTES)));
    assertRefused(read(long(MAX_CORIM_BYTES + 1)), 'CORIM_MALFORMED');
  });

  for (const [from, until, code] of [
    [AT - 1, AT + 1, undefined],
    [AT, AT, undefined],
    [undefined, AT, undefined],
    [AT + 1, AT + 2, 'CORIM_EXPIRED'],
    [AT - 2, AT - 1, 'CORIM_EXPIRED'],
    [AT - 1, undefined, 'CORIM_MALFORMED'],
    [AT - 1, 'soon', 'CORIM_MALFORMED'],
  ] as const) {
    const outcome = code ?? 'accepted';
    test(`validity of itself or of its signature, ${from} to ${until}, at ${AT}: ${outcome}`, () => {
      const meta = cbor(numbered({ 0: numbered({ 0: 'signer' }), 1: validity(from, until) }));
      for (const file of [
        unsignedCorim(TAGS, { 4: validity(from, until) }),
        signCorim(payload, key, { headers: { 8: meta } }),
      ]) {
        if (code === undefined) assertValue(read(file));
        else assertRefused(read(file), code);
      }
    });
  }

  test('any bit of its signed form flipped', () => {
    const file = signCorim(payload, key);
    for (let at = 0; at < file.length; at++) {
      const result = read(flipped(file, at));
      assert.equal(result.ok, false, `byte ${at}`);
    }
  });
});

/** A release of the manifest that takes its values from a CoRIM. */
function withCorim(corim: Corim, environments: readonly Written[], changes: Written = {}) {
  const corims = environments.map((each) => ({ sha256: corim.sha256, environment: each }));
  const release = writtenRelease('r2', 2, { measurements: [], corims, ...changes });
  const target = writtenTarget({ minimumRelease: 'r2', releases: [release] });
  const bytes = manifestBytes(writtenManifest({ targets: [target] }));
  return parseManifest(bytes, new Map([[corim.sha256, corim]]));
}

describe('a manifest that takes values from a CoRIM', () => {
  const corim = assertValue(read(signCorim(unsignedCorim(TAGS), key)));
  const both = [{ model: 'BlueField-3 SoC' }, { model: 'BlueField-3 NIC' }];

  test('judges by them as by its own', () => {
    const manifest = assertValue(withCorim(corim, both));
    const judge = (blocks: ReturnType<typeof measuredBlocks>) =>
      appraise({
        manifest,
        target: IROT,
        deviceClass: 'dpu',
        blocks,
        layers: measuredLayers('r2'),
        record: NEW_DEVICE,
        allow: { newBaseline: true, olderRelease: false },
        atMs: AT_MS,
      });
    assert.equal(assertValue(judge(measuredBlocks('r2'))).release.id, 'r2');
    assertRefused(judge(measuredBlocks('r3')), 'MEASUREMENT_MISMATCH');
  });

  test('takes several values of one index as alternatives', () => {
    const twice = assertValue(
      read(
        measured(
          digestMeasurement(2, [[8, sha512('a')]]),
          digestMeasurement(2, [[8, sha512('b')]]),
        ),
      ),
    );
    const manifest = assertValue(withCorim(twice, [{ vendor: 'NVIDIA' }]));
    const [release] = manifest.targets.get(IROT)?.releases ?? [];
    assert.equal(release?.measurements[0]?.values.length, 2);
  });

  const odd = (measurement: Cbor) => assertValue(read(measured(measurement)));
  const soc = [{ model: 'BlueField-3 SoC' }];
  const REFUSED_SELECTIONS: readonly (readonly [string, () => Result<unknown>, ErrorCode])[] = [
    ['that was not imported', () => parseManifest(other()), 'MANIFEST_CORIM'],
    ['without such an environment', () => withCorim(corim, [{ model: 'X' }]), 'MANIFEST_CORIM'],
    [
      'where one field of the environment differs',
      () => withCorim(corim, [{ model: 'BlueField-3 SoC', layer: 1 }]),
      'MANIFEST_CORIM',
    ],
    [
      'where two environments fit',
      () => withCorim(corim, [{ vendor: 'NVIDIA' }]),
      'MANIFEST_CORIM',
    ],
    [
      'whose selected value is not known whole',
      () => withCorim(odd(numbered({ 0: 2, 1: numbered({ 1: 7 }) })), soc),
      'MANIFEST_CORIM',
    ],
    ...[0, 255, -1, '2'].map((index): readonly [string, () => Result<unknown>, ErrorCode] => [
      `with ${typeof index} ${index} as index`,
      () => withCorim(odd(digestMeasurement(index, [[8, sha512('x')]])), soc),
      'MANIFEST_CORIM',
    ]),
    [
      'with 33 values for one index',
      () => withCorim(odd(digestMeasurement(2, Array(33).fill([8, sha512('x')]))), soc),
      'MANIFEST_CORIM',
    ],
    ['with no field of the environment', () => withCorim(corim, [{}]), 'MANIFEST_MALFORMED'],
    ['whose indices come twice', () => withCorim(corim, [...soc, ...soc]), 'MANIFEST_MALFORMED'],
    [
      'with an index of the baseline',
      () => withCorim(odd(digestMeasurement(7, [[8, sha512('x')]])), soc),
      'MANIFEST_MALFORMED',
    ],
    ['that is none at all', () => withCorim(corim, []), 'MANIFEST_MALFORMED'],
  ];

  function other(): Uint8Array {
    const corims = [{ sha256: 'ab'.repeat(32), environment: { vendor: 'NVIDIA' } }];
    const releases = [writtenRelease('r1', 1, { measurements: [], corims })];
    return manifestBytes(writtenManifest({ targets: [writtenTarget({ releases })] }));
  }

  for (const [name, attempt, code] of REFUSED_SELECTIONS) {
    test(`is refused for one ${name}`, () => assertRefused(attempt(), code));
  }
});
