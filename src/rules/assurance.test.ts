import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ASSURANCE_BINDINGS, decodeAssurance, encodeAssurance } from './assurance.ts';

test('a stored assurance record reads back as it was', () => {
  for (const binding of ASSURANCE_BINDINGS) {
    for (const more of [
      { zone: undefined, release: undefined },
      { zone: 0, release: 'bf3-24.10' },
    ]) {
      const assurance = { method: 'dpu', binding, ...more, atSeconds: 1_900_000_000 };
      assert.deepEqual(decodeAssurance(encodeAssurance(assurance)), assurance);
    }
  }
});

test('a record of a binding that this version does not know is none', () => {
  const stored = { method: 'dpu', binding: 'wishful', atSeconds: 1 };
  assert.equal(decodeAssurance(JSON.stringify(stored)), undefined);
  assert.equal(decodeAssurance('{}'), undefined);
});
