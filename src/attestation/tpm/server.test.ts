import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runAttestation, testRequest } from '../../../test/support/attestor-suite.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { pretendTpmRig } from '../../../test/support/tpm-rig.ts';
import { ok, type Result } from '../../base/result.ts';
import { decodeTpmResponse, encodeTpmResponse, type TpmResponse } from './payload.ts';

/** Changes a response on its way. */
function changed(change: Partial<TpmResponse>): (bytes: Uint8Array) => Result<Uint8Array> {
  return (bytes) => ok(encodeTpmResponse({ ...assertValue(decodeTpmResponse(bytes)), ...change }));
}

test('a secret that is not the one in the credential is refused', async () => {
  const rig = pretendTpmRig();
  for (const secret of [Buffer.alloc(32), Buffer.alloc(31), Buffer.alloc(33)]) {
    const { result } = await runAttestation(rig, { tamper: changed({ secret }) });
    assertRefused(result, 'TPM_ACTIVATION');
  }
});

test('registers that were not quoted are refused', async () => {
  const values = [Buffer.alloc(32), Buffer.alloc(32)];
  const { result } = await runAttestation(pretendTpmRig(), { tamper: changed({ values }) });
  assertRefused(result, 'TPM_QUOTE');
});

test('a quote for the key of another SVID is refused', async () => {
  const { result } = await runAttestation({ ...pretendTpmRig(), request: testRequest() });
  assertRefused(result, 'TPM_QUOTE');
});

test('a key that is known by its hash only gives one selector, and the binding of a key', async () => {
  const node = assertValue((await runAttestation(pretendTpmRig())).result);
  assert.equal(node.selectors.length, 1);
  assert.equal(node.assurance.binding, 'key');
});
