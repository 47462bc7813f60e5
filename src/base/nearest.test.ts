import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from './nearest.ts';

const candidates = ['port', 'address', 'entry create', 'x'];

const cases: readonly (readonly [string, string, string | undefined])[] = [
  ['the same word', 'port', 'port'],
  ['one letter left out', 'prt', 'port'],
  ['two letters swapped', 'prot', 'port'],
  ['another case', 'PORT', 'port'],
  ['two edits', 'adres', 'address'],
  ['three edits', 'adre', undefined],
  ['a candidate shorter than its distance', 'yz', undefined],
  ['nothing', '', undefined],
  ['a very long word', 'port'.repeat(100_000), undefined],
];

for (const [what, word, expected] of cases) {
  test(`nearest to ${what} is ${expected ?? 'none'}`, () => {
    assert.equal(nearest(word, candidates), expected);
  });
}
