import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AGENT_TEST_DOMAIN } from '../../../test/support/agent-ca.ts';
import { runAttestation, testRequest } from '../../../test/support/attestor-suite.ts';
import {
  EFI_VARIABLE,
  extended,
  SECURE_BOOT_DIGEST,
  writeEventLog,
} from '../../../test/support/event-log.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { pretendTpmRig } from '../../../test/support/tpm-rig.ts';
import { ok, type Result } from '../../base/result.ts';
import type { AgentRecord } from '../../rules/entry.ts';
import type { TpmClock } from '../../tpm/attest.ts';
import { MAX_EVENT_LOG_BYTES } from '../../tpm/event-log.ts';
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

describe('an event log that is required', () => {
  const server = { eventLog: 'required' } as const;
  const digest = Buffer.alloc(32, 1);
  const events = [
    { pcr: 7, type: EFI_VARIABLE, digest: SECURE_BOOT_DIGEST.on },
    { pcr: 0, digest },
  ];
  const zeros = Buffer.alloc(32);
  const values = [extended(zeros, digest), extended(zeros, SECURE_BOOT_DIGEST.on)];
  const attest = async (eventLog?: Uint8Array, shown: readonly Uint8Array[] = values) => {
    const pretended = { server, quote: { values: shown }, ...(eventLog && { eventLog }) };
    return (await runAttestation(pretendTpmRig(pretended))).result;
  };

  test('leads to the registers, or the node is refused', async () => {
    assertValue(await attest(writeEventLog(events)));
    assertRefused(await attest(), 'TPM_EVENT_LOG');
    assertRefused(await attest(Buffer.of(1)), 'TPM_EVENT_LOG');
    assertRefused(await attest(writeEventLog(events.slice(1))), 'TPM_EVENT_LOG');
    assertRefused(await attest(writeEventLog(events), [zeros, zeros]), 'TPM_EVENT_LOG');
  });

  test('may be as long as a log may be, and no longer', async () => {
    const filler = (length: number) => ({ pcr: 3, data: Buffer.alloc(length) });
    const room = MAX_EVENT_LOG_BYTES - writeEventLog([...events, filler(0)]).length;
    assertValue(await attest(writeEventLog([...events, filler(room)])));
    const tooLong = writeEventLog([...events, filler(room + 1)]);
    assertRefused(await attest(tooLong), 'ATTESTATION_PAYLOAD');
  });

  test('says nothing of a TPM that nobody certified', async () => {
    const node = assertValue(await attest(writeEventLog(events)));
    assert.equal(node.selectors.length, 1);
  });
});
