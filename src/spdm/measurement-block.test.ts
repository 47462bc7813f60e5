import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import type { ErrorCode } from '../base/errors.ts';
import { attempt } from '../der/refuse.ts';
import {
  checkBlocks,
  deviceMode,
  type MeasurementBlock,
  readMeasurementRecord,
  securityVersion,
} from './measurement-block.ts';

const read = (record: Uint8Array, count: number) =>
  attempt('record', () => readMeasurementRecord(record, count));

/** A block as bytes: index, specification 1, size, type, value size, value. */
function encode({ index, raw, kind, value }: MeasurementBlock): Uint8Array {
  const size = value.length + 3;
  const head = [index, 1, size & 0xff, size >> 8, (raw ? 0x80 : 0) | kind];
  return Buffer.concat([Buffer.of(...head, value.length & 0xff, value.length >> 8), value]);
}

const anyBlock = fc.record({
  index: fc.integer({ min: 1, max: 254 }),
  raw: fc.boolean(),
  kind: fc.integer({ min: 0, max: 127 }),
  value: fc.uint8Array({ maxLength: 300 }),
});

const block = (index: number, bytes: number, raw = false): MeasurementBlock => ({
  index,
  raw,
  kind: 1,
  value: new Uint8Array(bytes),
});

describe('measurement record', () => {
  test('what is written is read', () => {
    fc.assert(
      fc.property(fc.array(anyBlock, { maxLength: 20 }), (blocks) => {
        const bytes = Buffer.concat(blocks.map(encode));
        const got = assertValue(read(bytes, blocks.length));
        assert.deepEqual(
          got.map((one) => ({ ...one, value: Buffer.from(one.value) })),
          blocks.map((one) => ({ ...one, value: Buffer.from(one.value) })),
        );
      }),
    );
  });

  test('any bytes give blocks or a coded refusal', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 0, max: 20 }),
        (bytes, count) => {
          const got = read(bytes, count);
          if (!got.ok) assert.match(got.error.code, /^SPDM_/);
        },
      ),
    );
  });

  const good = encode(block(1, 32));
  const cases: readonly (readonly [string, Uint8Array, number, ErrorCode])[] = [
    ['one block too few stated', good, 0, 'SPDM_TRAILING_BYTES'],
    ['one block too many stated', good, 2, 'SPDM_TRUNCATED'],
    ['a byte missing', good.subarray(0, -1), 1, 'SPDM_TRUNCATED'],
    ['a byte too many', Buffer.concat([good, Buffer.of(0)]), 1, 'SPDM_TRAILING_BYTES'],
    ['index 0', good.with(0, 0), 1, 'SPDM_MEASUREMENT_RECORD'],
    ['index 255', good.with(0, 255), 1, 'SPDM_MEASUREMENT_RECORD'],
    ['no specification', good.with(1, 0), 1, 'SPDM_MEASUREMENT_RECORD'],
    ['two specifications', good.with(1, 3), 1, 'SPDM_MEASUREMENT_RECORD'],
    ['a size one less than 3 + value', good.with(2, 34), 1, 'SPDM_MEASUREMENT_RECORD'],
    ['a size one more than 3 + value', good.with(2, 36), 1, 'SPDM_MEASUREMENT_RECORD'],
    ['a value size one less', good.with(5, 31), 1, 'SPDM_MEASUREMENT_RECORD'],
    ['a value size one more', good.with(5, 33), 1, 'SPDM_MEASUREMENT_RECORD'],
  ];
  for (const [name, bytes, count, code] of cases) {
    test(`${name}: ${code}`, () => assertRefused(read(bytes, count), code));
  }
});

describe('blocks of a transcript', () => {
  const check = (blocks: readonly MeasurementBlock[], hash?: 'sha256' | 'sha384' | 'sha512') =>
    attempt('blocks', () => checkBlocks(blocks, hash));

  test('digests have the length of the measurement hash; raw values any', () => {
    assertValue(check([block(1, 64), block(2, 64), block(3, 5, true)], 'sha512'));
    for (const bytes of [63, 65, 48, 0]) {
      assertRefused(check([block(1, bytes)], 'sha512'), 'SPDM_MEASUREMENT_RECORD');
    }
  });

  test('without a measurement hash, digests have the length of one hash', () => {
    for (const bytes of [32, 48, 64]) assertValue(check([block(1, bytes), block(2, bytes)]));
    for (const bytes of [0, 20, 31, 33]) {
      assertRefused(check([block(1, bytes)]), 'SPDM_MEASUREMENT_RECORD');
    }
    assertRefused(check([block(1, 32), block(2, 48)]), 'SPDM_MEASUREMENT_RECORD');
  });

  test('no index stands twice', () => {
    assertRefused(check([block(7, 32), block(7, 32)]), 'SPDM_MEASUREMENT_RECORD');
    assertRefused(check([block(7, 32), block(7, 4, true)]), 'SPDM_MEASUREMENT_RECORD');
  });
});

describe('security version number', () => {
  const svn = (value: Uint8Array, raw = true, kind = 7) =>
    securityVersion({ index: 16, raw, kind, value });

  test('is a little-endian 64-bit number, to its largest', () => {
    assert.equal(assertValue(svn(Buffer.of(1, 2, 0, 0, 0, 0, 0, 0))), 513n);
    assert.equal(assertValue(svn(Buffer.alloc(8, 0xff))), 2n ** 64n - 1n);
    assert.equal(assertValue(svn(Buffer.alloc(8))), 0n);
  });

  test('is refused of another length, kind, or as a digest', () => {
    assertRefused(svn(Buffer.alloc(7)), 'SPDM_MEASUREMENT_RECORD');
    assertRefused(svn(Buffer.alloc(9)), 'SPDM_MEASUREMENT_RECORD');
    assertRefused(svn(Buffer.alloc(8), false), 'SPDM_MEASUREMENT_RECORD');
    assertRefused(svn(Buffer.alloc(8), true, 6), 'SPDM_MEASUREMENT_RECORD');
  });
});

describe('device mode', () => {
  const mode = (value: Uint8Array, raw = true, kind = 5) =>
    deviceMode({ index: 254, raw, kind, value });

  test('is four 32-bit words', () => {
    const words = Buffer.alloc(16);
    [0x11, 0x04, 0x1f, 0x80000001].forEach((word, at) => {
      words.writeUInt32LE(word, at * 4);
    });
    assert.deepEqual(assertValue(mode(words)), {
      operationalModeCapabilities: 0x11,
      operationalModeState: 0x04,
      deviceModeCapabilities: 0x1f,
      deviceModeState: 0x80000001,
    });
  });

  test('is refused of another length, kind, or as a digest', () => {
    for (const bytes of [15, 17]) {
      assertRefused(mode(Buffer.alloc(bytes)), 'SPDM_MEASUREMENT_RECORD');
    }
    assertRefused(mode(Buffer.alloc(16), false), 'SPDM_MEASUREMENT_RECORD');
    assertRefused(mode(Buffer.alloc(16), true, 7), 'SPDM_MEASUREMENT_RECORD');
  });
});
