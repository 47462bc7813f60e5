import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isPlainText, plainText } from './plain-text.ts';

test('leaves nothing that a terminal obeys, nor what hides or turns text around', () => {
  const hostile = [
    ['\u001b[2J\u0007bell', ' [2J bell'],
    ['a\r\nb\tc\0d', 'a  b c d'],
    ['\u009b31m', ' 31m'],
    ['safe\u202etxt.exe', 'safe txt.exe'],
    ['zero\u200bwidth\ufeff', 'zero width '],
    ['line\u2028paragraph\u2029', 'line paragraph '],
    ['\u{e0041}tag', ' tag'],
    ['half \ud83d', 'half \ufffd'],
    ['grüße 東京 🦉', 'grüße 東京 🦉'],
  ] as const;
  for (const [said, kept] of hostile) {
    assert.equal(plainText(said, 100), kept);
    // Half a character is no control.
    if (said.isWellFormed()) assert.equal(isPlainText(said, 100), said === kept);
  }
});

test('is cut at its length, between halves of a character too', () => {
  assert.equal(plainText('abcd', 5), 'abcd');
  assert.equal(plainText('abcd', 4), 'abcd');
  assert.equal(plainText('abcd', 3), 'abc');
  assert.equal(plainText('ab🦉', 3), 'ab\ufffd');
  assert.deepEqual([isPlainText('abcd', 4), isPlainText('abcd', 3)], [true, false]);
});

test('whatever comes, it is one well-formed line, and a plain one stays as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(40), (text, length) => {
      const plain = plainText(text, length);
      assert.ok(plain.length <= length && plain.isWellFormed());
      assert.doesNotMatch(plain, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      assert.equal(plainText(plain, length), plain);
    }),
  );
});
