import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { MAX_OPAQUE_BYTES } from './codes.ts';
import { readOpaqueFields } from './opaque-fields.ts';

const field = (type: number, value: Uint8Array): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(type, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, value]);
};

test('opaque data without fields has none, and what was written is read back', () => {
  assert.equal(assertValue(readOpaqueFields(new Uint8Array())).size, 0);
  const values = fc.dictionary(fc.nat(65_535).map(String), fc.uint8Array({ maxLength: 40 }), {
    maxKeys: 20,
  });
  fc.assert(
    fc.property(values, (fields) => {
      const entries = Object.entries(fields).map(([type, value]) => [Number(type), value] as const);
      const bytes = Buffer.concat(entries.map(([type, value]) => field(type, value)));
      const read = assertValue(readOpaqueFields(bytes));
      assert.equal(read.size, entries.length);
      for (const [type, value] of entries) {
        assert.deepEqual(Buffer.from(read.get(type) ?? []), Buffer.from(value));
      }
    }),
  );
});

for (const [what, bytes, code] of [
  ['half a type', Buffer.of(1), 'SPDM_TRUNCATED'],
  ['a type without a length', Buffer.of(1, 0, 1), 'SPDM_TRUNCATED'],
  ['a value that is a byte short', Buffer.of(1, 0, 2, 0, 7), 'SPDM_TRUNCATED'],
  ['a byte behind the last field', Buffer.of(1, 0, 1, 0, 7, 9), 'SPDM_TRUNCATED'],
  ['a type twice', Buffer.concat([field(20, Buffer.of(1)), field(20, Buffer.of(1))]), 'SPDM_FIELD'],
  ['a byte too many', Buffer.alloc(MAX_OPAQUE_BYTES + 1), 'SPDM_TOO_LARGE'],
] as const) {
  test(`${what} is ${code}`, () => {
    assertRefused(readOpaqueFields(bytes), code);
  });
}

test('any bytes are read or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1100 }), (bytes) => {
      readOpaqueFields(bytes);
    }),
    { numRuns: 2000 },
  );
});
