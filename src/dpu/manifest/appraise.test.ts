import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sha384 } from '../../../test/support/dice.ts';
import {
  block,
  IROT,
  manifestWith,
  measuredBlocks,
  measuredLayers,
  rawBlock,
  sha512,
  type Written,
  writtenRelease,
} from '../../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { Result } from '../../base/result.ts';
import type { DeviceLayer } from '../../dice/device-chain.ts';
import { MEASUREMENT_KIND, type MeasurementBlock } from '../../spdm/measurement-block.ts';
import { type Allowances, type Appraisal, appraise, type Verdict } from './appraise.ts';
import { type DeviceRecord, NEW_DEVICE } from './device-record.ts';

const AT_MS = Date.UTC(2030, 5, 1);
const manifest = manifestWith();
const NOTHING: Allowances = { newBaseline: false, olderRelease: false };
const WINDOW: Allowances = { ...NOTHING, newBaseline: true };
const OLDER: Allowances = { ...NOTHING, olderRelease: true };

function judge(release: string, changes: Partial<Appraisal> = {}): Result<Verdict> {
  return appraise({
    manifest,
    target: IROT,
    deviceClass: 'dpu',
    blocks: measuredBlocks(release),
    layers: measuredLayers(release),
    record: NEW_DEVICE,
    allow: NOTHING,
    atMs: AT_MS,
    ...changes,
  });
}

/** The record of a device that was commissioned with a release. */
function commissioned(release: string, changes: Partial<Appraisal> = {}): DeviceRecord {
  return assertValue(judge(release, { allow: WINDOW, ...changes })).record;
}

/** A device that was commissioned with r2 and answers these blocks now. */
function answers(blocks: readonly MeasurementBlock[], changes: Partial<Appraisal> = {}) {
  return judge('r2', { record: commissioned('r2'), blocks, ...changes });
}

/** What a release answers, with the block of an index changed, or left out. */
function withBlock(index: number, changed?: MeasurementBlock, release = 'r2') {
  const others = measuredBlocks(release).filter((each) => each.index !== index);
  return changed === undefined ? others : [...others, changed];
}

describe('measurements of an allowed release', () => {
  test('are accepted, and the verdict says the release', () => {
    const { release, rebaselined } = assertValue(answers(measuredBlocks('r2')));
    assert.deepEqual([release.id, release.order], ['r2', 2]);
    assert.equal(release.versions.get('nic'), '28.2.1000');
    assert.deepEqual(rebaselined, []);
  });

  test('are accepted in any order, and again and again', () => {
    let record = commissioned('r2');
    for (const blocks of [measuredBlocks('r2'), measuredBlocks('r2').toReversed()]) {
      record = assertValue(answers(blocks, { record })).record;
    }
    assert.deepEqual(record, commissioned('r2'));
  });

  test('may move on to any newer release', () => {
    const { record } = assertValue(judge('r3', { record: commissioned('r1') }));
    assert.deepEqual(record.lastRelease, { id: 'r3', order: 3 });
  });

  test('may have any of the values that a release lists', () => {
    const measurements = [
      { index: 2, values: [`sha512:${'00'.repeat(64)}`, `sha512:${'11'.repeat(64)}`] },
    ];
    const releases = [writtenRelease('r2', 2, { measurements })];
    const either = manifestWith({ minimumRelease: 'r2', releases });
    const of = (octet: number) =>
      judge('r2', {
        manifest: either,
        allow: WINDOW,
        blocks: withBlock(2, block(2, new Uint8Array(64).fill(octet))),
      });
    assertValue(of(0x00));
    assertValue(of(0x11));
    assertRefused(of(0x22), 'MEASUREMENT_MISMATCH');
  });

  test('of two releases that look alike are the newer one', () => {
    const alike = writtenRelease('r2', 2);
    const releases = [alike, { ...alike, id: 'r2b', order: 5 }];
    const both = manifestWith({ minimumRelease: 'r2', releases });
    assert.equal(assertValue(judge('r2', { manifest: both, allow: WINDOW })).release.id, 'r2b');
  });

  test('that nobody lists are passed over', () => {
    assertValue(answers(withBlock(11, block(11, sha512('another')))));
    assertValue(answers(withBlock(11)));
    assertValue(answers([...measuredBlocks('r2'), block(200, sha512('new'))]));
  });

  test('match without firmware ids where the target ignores those', () => {
    const ignoring = manifestWith({ fwids: 'ignored' });
    const layers = measuredLayers('unknown');
    assertValue(judge('r2', { manifest: ignoring, layers, allow: WINDOW }));
  });
});

/** Blocks of a release with parts of another. */
const mixed = [
  ...measuredBlocks('r2').filter(({ index }) => index !== 3),
  ...measuredBlocks('r3').filter(({ index }) => index === 3),
];

const [l5 = never(), l6 = never()] = measuredLayers('r2');

function never(): DeviceLayer {
  throw new TypeError('there are two layers');
}

const REFUSED: readonly (readonly [string, () => Result<unknown>, ErrorCode])[] = [
  ['firmware that no release lists', () => judge('r9'), 'MEASUREMENT_MISMATCH'],
  ['parts of two releases', () => answers(mixed), 'MEASUREMENT_MISMATCH'],
  ['a listed measurement left out', () => answers(withBlock(3)), 'MEASUREMENT_MISSING'],
  ['no measurements at all', () => answers([]), 'MEASUREMENT_FORMAT'],
  [
    'a digest where the value is longer by a byte',
    () => answers(withBlock(2, block(2, Buffer.concat([sha512('psc r2'), Buffer.alloc(1)])))),
    'MEASUREMENT_MISMATCH',
  ],
  [
    'the bytes of a digest as a bit stream',
    () => answers(withBlock(2, rawBlock(2, sha512('psc r2'), 1))),
    'MEASUREMENT_MISMATCH',
  ],
  [
    'another table of measurements',
    () => answers(withBlock(1, rawBlock(1, Uint8Array.of(0, 2, 0, 3)))),
    'MEASUREMENT_FORMAT',
  ],
  ['no table of measurements', () => answers(withBlock(1)), 'MEASUREMENT_FORMAT'],
  [
    'the number of the table as a digest',
    () => answers(withBlock(1, block(1, Uint8Array.of(0, 1, 0, 3)))),
    'MEASUREMENT_FORMAT',
  ],
  [
    'layers of another release',
    () => answers(measuredBlocks('r2'), { layers: measuredLayers('r3') }),
    'MEASUREMENT_FWID',
  ],
  [
    'one layer of another release',
    () => answers(measuredBlocks('r2'), { layers: [l5, ...measuredLayers('r3').slice(1)] }),
    'MEASUREMENT_FWID',
  ],
  ['a layer missing', () => answers(measuredBlocks('r2'), { layers: [l5] }), 'MEASUREMENT_FWID'],
  ['no layers', () => answers(measuredBlocks('r2'), { layers: [] }), 'MEASUREMENT_FWID'],
  [
    'layers in each other’s place',
    () =>
      answers(measuredBlocks('r2'), {
        layers: [
          { ...l5, fwids: l6.fwids },
          { ...l6, fwids: l5.fwids },
        ],
      }),
    'MEASUREMENT_FWID',
  ],
  [
    'a layer that the release does not have',
    () => answers(measuredBlocks('r2'), { layers: [l5, l6, { ...l6, name: 'L7' }] }),
    'MEASUREMENT_FWID',
  ],
  [
    'a layer without firmware ids',
    () => answers(measuredBlocks('r2'), { layers: [l5, { ...l6, fwids: [] }] }),
    'MEASUREMENT_FWID',
  ],
  [
    'a layer with one firmware id more than is listed',
    () =>
      answers(measuredBlocks('r2'), {
        layers: [
          l5,
          { ...l6, fwids: [...l6.fwids, { algorithm: 'sha384', digest: sha384('more') }] },
        ],
      }),
    'MEASUREMENT_FWID',
  ],
  [
    'a firmware id of another algorithm with the same bytes',
    () =>
      answers(measuredBlocks('r2'), {
        layers: [l5, { ...l6, fwids: l6.fwids.map((each) => ({ ...each, algorithm: 'sha512' })) }],
      }),
    'MEASUREMENT_FWID',
  ],
  [
    'a target that nobody knows',
    () => judge('r2', { target: 'Bluefield_ERoT' }),
    'MANIFEST_TARGET',
  ],
  ['a device of another class', () => judge('r2', { deviceClass: 'gpu' }), 'MANIFEST_TARGET'],
  ['a device that was never commissioned', () => judge('r2'), 'MEASUREMENT_NO_BASELINE'],
];

describe('measurements are refused with', () => {
  for (const [name, attempt, code] of REFUSED) {
    test(name, () => assertRefused(attempt(), code));
  }

  test('what is wrong with the release that comes closest', () => {
    const result = answers(mixed);
    assert.equal(
      !result.ok && result.error.message,
      `${IROT}: no allowed release; next is r2, where 3 does not match`,
    );
  });

  for (const [offset, code] of [
    [-1, undefined],
    [0, 'MANIFEST_EXPIRED'],
    [1, 'MANIFEST_EXPIRED'],
  ] as const) {
    test(`a manifest that ends, ${offset} ms from its end: ${code ?? 'accepted'}`, () => {
      const ending = manifestWith({}, { expiresAt: '2030-06-01T00:00:00Z' });
      const result = judge('r2', { manifest: ending, allow: WINDOW, atMs: AT_MS + offset });
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }
});

describe('the mode that a device states', () => {
  const modeBlock = (operational: number, device: number) => {
    const value = Buffer.alloc(16);
    value.writeUInt32LE(0x3f, 0);
    value.writeUInt32LE(operational, 4);
    value.writeUInt32LE(0x1f, 8);
    value.writeUInt32LE(device, 12);
    return rawBlock(0xfe, value, MEASUREMENT_KIND.deviceMode);
  };
  const stating = (operational: number, device: number) =>
    answers([...measuredBlocks('r2'), modeBlock(operational, device)]);

  test('is normal operation without debugging', () => {
    assertValue(stating(0x04, 0));
  });

  for (const [what, operational, device] of [
    ['manufacturing', 0x01, 0],
    ['validation', 0x02, 0],
    ['recovery', 0x08, 0],
    ['return to the maker', 0x10, 0],
    ['decommissioned', 0x20, 0],
    ['two at once', 0x05, 0],
    ['none', 0, 0],
    ['debugging that only looks', 0x04, 0x01],
    ['debugging', 0x04, 0x02],
    ['debugging since the reset', 0x04, 0x08],
    ['debugging since it was made', 0x04, 0x10],
  ] as const) {
    test(`puts out a device in ${what}`, () => {
      assertRefused(stating(operational, device), 'MEASUREMENT_MODE');
    });
  }

  test('is the word of a release that lists it', () => {
    const raw = `raw:${Buffer.from(modeBlock(0x02, 0x01).value).toString('hex')}`;
    const listed = writtenRelease('r2', 2);
    const measurements = [
      ...(listed.measurements as readonly object[]),
      { index: 0xfe, values: [raw] },
    ];
    const lab = manifestWith({ releases: [{ ...listed, measurements }], minimumRelease: 'r2' });
    const now = { manifest: lab, record: commissioned('r2') };
    const blocks = (operational: number) => [...measuredBlocks('r2'), modeBlock(operational, 0x01)];
    assertValue(answers(blocks(0x02), now));
    assertRefused(answers(blocks(0x04), now), 'MEASUREMENT_MISMATCH');
  });
});

describe('the baseline of a device', () => {
  test('is taken at commissioning, of the indices that the manifest names', () => {
    const verdict = assertValue(judge('r2', { allow: WINDOW }));
    assert.deepEqual(verdict.rebaselined, [7, 8, 9, 10]);
    assert.deepEqual(
      [...(verdict.record.baseline ?? [])].map(([index]) => index),
      [7, 8, 9, 10],
    );
  });

  for (const [name, changed] of [
    ['has another value', block(8, sha512('debug on'), 2)],
    ['is left out', undefined],
    ['has another kind', block(8, sha512('own 8'), 3)],
    ['is a bit stream now', rawBlock(8, sha512('own 8'), 2)],
  ] as const) {
    test(`does not hold where one of it ${name}`, () => {
      assertRefused(answers(withBlock(8, changed)), 'MEASUREMENT_BASELINE');
    });

    if (changed === undefined) continue;
    test(`is taken anew in a window where one of it ${name}`, () => {
      const { record, rebaselined } = assertValue(
        answers(withBlock(8, changed), { allow: WINDOW }),
      );
      assert.deepEqual(rebaselined, [8]);
      assertValue(answers(withBlock(8, changed), { record }));
      assertRefused(answers(measuredBlocks('r2'), { record }), 'MEASUREMENT_BASELINE');
    });
  }

  test('is not taken where one of it is left out: it would never be looked at again', () => {
    for (const index of [7, 8, 9, 10]) {
      const blocks = withBlock(index);
      assertRefused(judge('r2', { allow: WINDOW, blocks }), 'MEASUREMENT_MISSING');
      assertRefused(answers(blocks, { allow: WINDOW }), 'MEASUREMENT_MISSING');
    }
  });

  test('does not hold where one comes that was not there', () => {
    const { baseline, ...record } = commissioned('r2');
    const narrower = new Map([...(baseline ?? [])].filter(([index]) => index !== 9));
    const known = { ...record, baseline: narrower };
    assertValue(answers(withBlock(9), { record: known }));
    assertRefused(answers(measuredBlocks('r2'), { record: known }), 'MEASUREMENT_BASELINE');
  });

  test('does not hold where a revision of the manifest names more of it', () => {
    const wider = manifestWith({ baseline: [7, 8, 9, 10, 11] });
    assertRefused(answers(measuredBlocks('r2'), { manifest: wider }), 'MEASUREMENT_BASELINE');
  });

  test('of one device is not that of another', () => {
    const blocks = measuredBlocks('r2', 'another device');
    assertRefused(answers(blocks), 'MEASUREMENT_BASELINE');
  });

  test('in a window opens no door for unknown firmware', () => {
    assertRefused(judge('r9', { allow: WINDOW }), 'MEASUREMENT_MISMATCH');
    assertRefused(judge('r2', { allow: WINDOW, layers: measuredLayers('r3') }), 'MEASUREMENT_FWID');
  });
});

describe('rollback', () => {
  for (const [last, now, allow, code] of [
    ['r2', 'r1', NOTHING, 'ROLLBACK_RELEASE'],
    ['r2', 'r1', WINDOW, 'ROLLBACK_RELEASE'],
    ['r2', 'r1', OLDER, undefined],
    ['r2', 'r2', NOTHING, undefined],
    ['r2', 'r3', NOTHING, undefined],
  ] as const) {
    const permit = allow === OLDER ? 'with a permit' : allow === WINDOW ? 'in a window' : 'alone';
    test(`(a) from ${last} to ${now} ${permit}: ${code ?? 'accepted'}`, () => {
      const result = judge(now, { record: commissioned(last), allow });
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }

  test('(a) is judged by the numbers of the manifest in force, and of the record where it is gone', () => {
    const renumbered = manifestWith({
      releases: [writtenRelease('r1', 1), writtenRelease('r3', 10), writtenRelease('r2', 12)],
    });
    const record = commissioned('r3');
    assertValue(judge('r2', { manifest: renumbered, record }));
    const onR2 = commissioned('r2');
    assertRefused(judge('r3', { manifest: renumbered, record: onR2 }), 'ROLLBACK_RELEASE');
    const dropped = manifestWith({ releases: [writtenRelease('r1', 1), writtenRelease('r2', 2)] });
    assertRefused(judge('r2', { manifest: dropped, record }), 'ROLLBACK_RELEASE');
  });

  for (const [minimumRelease, code] of [
    ['r1', undefined],
    ['r2', undefined],
    ['r3', 'ROLLBACK_MINIMUM'],
  ] as const) {
    test(`(d) r2 where the minimum is ${minimumRelease}: ${code ?? 'accepted'}`, () => {
      const strict = manifestWith({ minimumRelease });
      const result = judge('r2', {
        manifest: strict,
        allow: { newBaseline: true, olderRelease: true },
      });
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }

  /** A device whose counter 5 had these values, one after the other. */
  function counted(...values: readonly string[]): Result<Verdict> {
    let record = NEW_DEVICE;
    let result = judge('r2');
    for (const value of values) {
      const blocks = withBlock(5, block(5, sha512(value), 2));
      result = judge('r2', { record, blocks, allow: WINDOW });
      if (!result.ok) return result;
      record = result.value.record;
    }
    return result;
  }

  test('(b) a counter moves on or stays, and never comes back', () => {
    assertValue(counted('a', 'a', 'b', 'b', 'c'));
    assertRefused(counted('a', 'b', 'a'), 'ROLLBACK_COUNTER');
    assertRefused(counted('a', 'b', 'c', 'a'), 'ROLLBACK_COUNTER');
    assertRefused(counted('a', 'b', 'c', 'b'), 'ROLLBACK_COUNTER');
  });

  test('(b) a counter is answered from the first time on', () => {
    assertRefused(answers(withBlock(6)), 'ROLLBACK_COUNTER');
    const blocks = withBlock(6);
    assertRefused(judge('r2', { allow: WINDOW, blocks }), 'ROLLBACK_COUNTER');
    // As records of before this rule may be.
    const record = { ...commissioned('r2'), counters: new Map() };
    assertRefused(answers(blocks, { record }), 'ROLLBACK_COUNTER');
    assertValue(answers(measuredBlocks('r2'), { record }));
  });

  test('(b) the last 256 values of a counter are remembered', () => {
    const names = Array.from({ length: 257 }, (_, at) => `value ${at}`);
    const { record } = assertValue(counted(...names));
    assert.equal(record.counters.get(5)?.length, 256);
    const back = (name: string) =>
      judge('r2', { record, allow: WINDOW, blocks: withBlock(5, block(5, sha512(name), 2)) });
    assertRefused(back('value 1'), 'ROLLBACK_COUNTER');
    assertValue(back('value 0'));
  });

  /** What r2 answers, with a security version number in index 16. */
  function withVersion(version: bigint): readonly MeasurementBlock[] {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(version);
    return [...measuredBlocks('r2'), rawBlock(16, value, 7)];
  }

  const huge = 2n ** 63n;
  for (const [before, now, code] of [
    [5n, 4n, 'ROLLBACK_SVN'],
    [5n, 5n, undefined],
    [5n, 6n, undefined],
    [huge, huge - 1n, 'ROLLBACK_SVN'],
    [huge, huge + 1n, undefined],
    [0x0100n, 0x00ffn, 'ROLLBACK_SVN'],
  ] as const) {
    test(`(c) a security version from ${before} to ${now}: ${code ?? 'accepted'}`, () => {
      const record = commissioned('r2', { blocks: withVersion(before) });
      const result = answers(withVersion(now), { record });
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }

  test('(c) a security version does not go away, nor has it another size', () => {
    const record = commissioned('r2', { blocks: withVersion(5n) });
    assertRefused(answers(measuredBlocks('r2'), { record }), 'ROLLBACK_SVN');
    const odd = [...measuredBlocks('r2'), rawBlock(16, new Uint8Array(7), 7)];
    assertRefused(answers(odd, { record }), 'SPDM_MEASUREMENT_RECORD');
  });

  test('a refusal leaves the record as it was', () => {
    const record = commissioned('r2');
    const copy = structuredClone(record);
    assertRefused(judge('r1', { record }), 'ROLLBACK_RELEASE');
    assert.deepEqual(record, copy);
  });
});

test('no index has a meaning of its own', () => {
  const moved: Written = {
    format: undefined,
    baseline: [30],
    rollbackCounters: [],
    minimumRelease: 'r1',
    releases: [
      writtenRelease('r1', 1, {
        measurements: [
          { index: 77, values: [`sha512:${Buffer.from(sha512('fw')).toString('hex')}`] },
        ],
      }),
    ],
  };
  const blocks = [block(77, sha512('fw')), block(30, sha512('serial'), 2), block(5, sha512('?'))];
  const verdict = judge('r1', { manifest: manifestWith(moved), blocks, allow: WINDOW });
  assert.deepEqual(assertValue(verdict).rebaselined, [30]);
});
