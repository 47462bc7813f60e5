import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import type { Framing } from '../base/framing.ts';
import { EMULATOR_FRAMING } from './emulator-framing.ts';
import { TCP_FRAMING } from './tcp-framing.ts';

const FRAMINGS: readonly (readonly [string, Framing])[] = [
  ['SPDM over TCP', TCP_FRAMING],
  ['the emulator', EMULATOR_FRAMING],
];

for (const [name, { frame, deframe }] of FRAMINGS) {
  describe(`frames of ${name}`, () => {
    test('give back the message and its length, whatever follows', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array(), (message, after) => {
          const framed = assertValue(frame(message));
          const found = assertValue(deframe(Buffer.concat([framed, after])));
          assert.deepEqual(found?.bytes, framed.length);
          assert.deepEqual(Buffer.from(found?.message ?? []), Buffer.from(message));
        }),
      );
    });

    test('are waited for until they are whole', () => {
      const framed = assertValue(frame(new Uint8Array(100)));
      for (let length = 0; length < framed.length; length++) {
        assert.equal(assertValue(deframe(framed.subarray(0, length))), undefined);
      }
    });

    test('do not share memory with what was received', () => {
      const framed = new Uint8Array(assertValue(frame(Uint8Array.of(1, 2, 3))));
      const found = assertValue(deframe(framed));
      framed.fill(0);
      assert.deepEqual([...(found?.message ?? [])], [1, 2, 3]);
    });

    test('any bytes give a message, nothing yet, or SPDM_FRAME', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
          const found = deframe(bytes);
          if (!found.ok) assert.equal(found.error.code, 'SPDM_FRAME');
        }),
      );
    });
  });
}

describe('SPDM over TCP (DSP0287)', () => {
  test('the length counts what follows it, little-endian', () => {
    const framed = assertValue(TCP_FRAMING.frame(Uint8Array.of(0x10, 0x84, 0, 0)));
    assert.deepEqual([...framed], [6, 0, 1, 5, 0x10, 0x84, 0, 0]);
  });

  test('the longest message that fits is framed, a byte more is not', () => {
    assertValue(TCP_FRAMING.frame(new Uint8Array(65_533)));
    assertRefused(TCP_FRAMING.frame(new Uint8Array(65_534)), 'SPDM_TOO_LARGE');
  });

  const cases: readonly (readonly [string, readonly number[]])[] = [
    ['another version of the binding', [6, 0, 2, 5, 0x10, 4, 0, 0]],
    ['a message inside a session', [6, 0, 1, 6, 0x10, 4, 0, 0]],
    ['a role inquiry', [0, 0, 1, 0xbf]],
    ['an error: too large', [0, 0, 1, 0xc0]],
    ['an error: not supported', [2, 0, 1, 0xc1]],
    ['a length below its own fields', [1, 0, 1, 5]],
  ];
  for (const [name, bytes] of cases) {
    test(`${name} is refused`, () => {
      assertRefused(TCP_FRAMING.deframe(Uint8Array.from(bytes)), 'SPDM_FRAME');
    });
  }
});

describe('the framing of the emulator', () => {
  const framed = () => assertValue(EMULATOR_FRAMING.frame(Uint8Array.of(0x10, 0x84, 0, 0)));

  test('three big-endian numbers and the MCTP type stand before the message', () => {
    const expected = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 5, 0x10, 0x84, 0, 0];
    assert.deepEqual([...framed()], expected);
  });

  test('the farewell tells the emulator to serve on', () => {
    const farewell = [0, 0, 0xff, 0xfd, 0, 0, 0, 1, 0, 0, 0, 0];
    assert.deepEqual([...(EMULATOR_FRAMING.farewell ?? [])], farewell);
  });

  const cases: readonly (readonly [string, number, number])[] = [
    ['a command', 3, 2],
    ['a transport', 7, 2],
    ['a message type', 12, 6],
    ['no message type', 11, 0],
    ['more than any evidence', 8, 1],
  ];
  for (const [name, at, value] of cases) {
    test(`${name} that is not a message’s is refused`, () => {
      assertRefused(EMULATOR_FRAMING.deframe(framed().with(at, value)), 'SPDM_FRAME');
    });
  }
});
