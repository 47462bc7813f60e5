import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT_TEST_DOMAIN } from '../../../test/support/agent-ca.ts';
import { runAttestation, testRequest } from '../../../test/support/attestor-suite.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { pretendTpmRig } from '../../../test/support/tpm-rig.ts';
import { ok, type Result } from '../../base/result.ts';
import type { AgentRecord } from '../../rules/entry.ts';
import type { TpmClock } from '../../tpm/attest.ts';
import { decodeTpmResponse, encodeTpmResponse, type TpmResponse } from './payload.ts';
import type { TpmParts } from './server.ts';

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

test('counters that went back since the last attestation are refused', async () => {
  const last = { resetCount: 3, restartCount: 1, clockMs: 1000 };
  // Only its assurance is looked at.
  const agent = () => ({ assurance: { tpmClock: last } }) as unknown as AgentRecord;
  const registry = { trustDomain: AGENT_TEST_DOMAIN, agent };
  const attest = async (clock: Partial<TpmClock>, more: Partial<TpmParts> = {}) =>
    (await runAttestation(pretendTpmRig({ quote: { clock }, server: { registry, ...more } })))
      .result;
  assertRefused(await attest({ clock: 999n }), 'TPM_CLOCK');
  const node = assertValue(await attest({ clock: 1001n }));
  assert.deepEqual(node.assurance.tpmClock, { ...last, clockMs: 1001 });
  assertValue(await attest({ clock: 1001n, safe: false }));
  const strict = { unsafeClock: 'refused' } as const;
  assertRefused(await attest({ clock: 1001n, safe: false }, strict), 'TPM_CLOCK');
});
