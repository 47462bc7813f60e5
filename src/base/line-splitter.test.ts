import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineSplitter } from './line-splitter.ts';

test('lines are the same in whatever pieces they come', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 });
  fc.assert(
    fc.property(pieces, (all) => {
      const splitter = new LineSplitter(4096);
      const lines = all.flatMap((piece) => splitter.split(piece).lines);
      const whole = Buffer.concat(all).toString('latin1').split('\n').slice(0, -1);
      assert.deepEqual(
        lines.map((line) => Buffer.from(line).toString('latin1')),
        whole,
      );
    }),
  );
});

for (const [length, tooLong] of [
  [999, false],
  [1000, false],
  [1001, true],
] as const) {
  test(`of at most 1000 bytes, ${length} are ${tooLong ? 'too many' : 'taken'}`, () => {
    const line = Buffer.from(`a\n${'x'.repeat(length)}`);
    const open = new LineSplitter(1000).split(line);
    assert.deepEqual([open.lines.length, open.tooLong], [1, tooLong], 'before its end');
    const ended = new LineSplitter(1000).split(Buffer.concat([line, Buffer.from('\nb\n')]));
    assert.deepEqual([ended.lines.length, ended.tooLong], [tooLong ? 1 : 3, tooLong]);
    const splitter = new LineSplitter(1000);
    const byByte = [...line].map((byte) => splitter.split(Uint8Array.of(byte)).tooLong);
    assert.equal(byByte.includes(true), tooLong, 'byte by byte');
  });
}

test('what is handed out stays as it is when more comes', () => {
  const splitter = new LineSplitter(100);
  const [line] = splitter.split(Buffer.from('first\n')).lines;
  splitter.split(Buffer.from('other\n'));
  assert.equal(Buffer.from(line ?? []).toString(), 'first');
});
