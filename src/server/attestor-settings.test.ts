import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dpuHostSchema } from './attestor-settings.ts';

const FIRST_USE = { firstUse: true };

for (const [what, written, fits] of [
  ['nothing', {}, true],
  ['a TPM that is demanded by no rules', { requireTpm: true }, false],
  ['zones by no rules', { requireTpm: [1] }, false],
  ['rules that know no TPM', { requireTpm: true, tpm: {} }, false],
  ['the first TPM', { requireTpm: [0, 2], tpm: FIRST_USE }, true],
  ['no zones', { requireTpm: [], tpm: FIRST_USE }, false],
  ['a zone that there is not', { requireTpm: [3], tpm: FIRST_USE }, false],
  ['an event log', { tpm: { ...FIRST_USE, eventLog: 'required' } }, false],
] as const) {
  test(`attestation.dpuHost with ${what} ${fits ? 'is taken' : 'is refused'}`, () => {
    assert.equal(dpuHostSchema.safeParse({ enabled: true, ...written }).success, fits);
  });
}
