import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unwrap } from '../base/result.ts';
import { checkAudience, MAX_AUDIENCE_BYTES } from './audience.ts';

const long = (bytes: number): string[] => ['x'.repeat(bytes)];
const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`);
const cases: readonly (readonly [name: string, asked: readonly string[], code: string])[] = [
  ['one', ['a'], 'ok'],
  ['none', [], 'AUDIENCE_EMPTY'],
  ['an empty one', [''], 'AUDIENCE_EMPTY'],
  ['an empty one beside another', ['a', ''], 'AUDIENCE_EMPTY'],
  ['half of a surrogate pair', ['\ud800'], 'AUDIENCE_INVALID'],
  ['a NUL', ['a\0'], 'AUDIENCE_INVALID'],
  ['what was not UTF-8 on the wire', [Buffer.of(0x61, 0xff).toString()], 'AUDIENCE_INVALID'],
  ['31', many(31), 'ok'],
  ['32', many(32), 'ok'],
  ['33', many(33), 'AUDIENCE_TOO_MANY'],
  ['1,000', many(1000), 'AUDIENCE_TOO_MANY'],
  ['32, each twice', [...many(32), ...many(32)], 'ok'],
  ['8191 bytes', long(MAX_AUDIENCE_BYTES - 1), 'ok'],
  ['8192 bytes', long(MAX_AUDIENCE_BYTES), 'ok'],
  ['8193 bytes', long(MAX_AUDIENCE_BYTES + 1), 'AUDIENCE_INVALID'],
  ['8193 bytes of them in two', [...long(8_000), 'y'.repeat(193)], 'AUDIENCE_INVALID'],
  ['8194 bytes of which each character is two', ['ä'.repeat(4_097)], 'AUDIENCE_INVALID'],
  ['8190 bytes of escapes', ['\u0001'.repeat(1_365)], 'ok'],
  ['8196 bytes of escapes', ['\u0001'.repeat(1_366)], 'AUDIENCE_INVALID'],
];
for (const [name, asked, code] of cases) {
  test(`JWT-8 audiences asked for, ${name}: ${code}`, () => {
    const result = checkAudience(asked);
    assert.equal(result.ok ? 'ok' : result.error.code, code);
  });
}

test('JWT-8 no audience is refused with the text that clients know', () => {
  const result = checkAudience([]);
  assert.equal(result.ok ? '' : result.error.message, 'audience must be specified');
});

test('an audience asked for twice is embedded once, where it stood first', () => {
  assert.deepEqual(unwrap(checkAudience(['a', 'b', 'a'])), ['a', 'b']);
});
