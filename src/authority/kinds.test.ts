import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom, systemRandom } from '../base/random.ts';
import { drawKeyId } from './kinds.ts';

describe('JWT key ids', () => {
  test('A.5 are 32 letters and digits', () => {
    for (let i = 0; i < 200; i++) assert.match(drawKeyId(systemRandom), /^[a-zA-Z0-9]{32}$/);
  });

  test('do not repeat', () => {
    const ids = new Set(Array.from({ length: 1000 }, () => drawKeyId(systemRandom)));
    assert.equal(ids.size, 1000);
  });

  test('never use a byte from 248 on, which would favour the first letters', () => {
    const bytes = [248, 255, 247, 0, 61, 62];
    let at = 0;
    const id = drawKeyId({ bytes: (n) => Uint8Array.from({ length: n }, () => bytes[at++ % 6]!) });
    assert.equal(id.slice(0, 4), '9A9A');
  });

  test('favour no letter', () => {
    const random = seededRandom(7);
    const counts = new Map<string, number>();
    for (let i = 0; i < 4000; i++) {
      for (const letter of drawKeyId(random)) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
    const expected = (4000 * 32) / 62;
    for (const count of counts.values()) assert.ok(Math.abs(count - expected) < expected * 0.1);
    assert.equal(counts.size, 62);
  });
});
