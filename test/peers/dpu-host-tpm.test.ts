import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { tpmAgentSchema } from '../../agent/attestation/method-settings.ts';
import type { HostTpmRules } from '../../src/attestation/dpu_host/host-tpm.ts';
import { unwrap } from '../../src/base/result.ts';
import { runAttestation } from '../support/attestor-suite.ts';
import { DPU_SERIAL, dpuHostRig } from '../support/dpu-host.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import { prepareSwtpm, type Swtpm, startSwtpm } from './swtpm.ts';

const missing = await prepareSwtpm();
if (missing !== undefined && process.env.CI === 'true') assert.fail(missing);

const RULES: HostTpmRules = {
  trust: { roots: [], intermediates: [], knownKeys: new Set(), unknownKeys: 'taken' },
  revocation: async () => ({ crls: [], maxStaleMs: 0 }),
  pcrs: [0, 7],
  unsafeClock: 'accepted',
  lastClock: () => undefined,
  isRequired: () => true,
};

describe('the TPM of a host, in software', { skip: missing ?? false }, () => {
  let first: Swtpm;
  let second: Swtpm;

  before(async () => {
    first = await startSwtpm();
    second = await startSwtpm();
  });

  after(async () => {
    await first?.stop();
    await second?.stop();
  });

  test('quotes beside the voucher, and another TPM is refused afterwards', async (context) => {
    const hostTpm = tpmAgentSchema.parse({ device: first.device });
    const rig = await dpuHostRig(context, { server: { tpm: RULES }, hostTpm });
    const node = assertValue((await runAttestation(rig)).result);
    assert.ok(node.selectors.some(({ text }) => text.startsWith('tpm:ek:sha256:')));
    assert.notEqual(node.assurance?.tpmClock, undefined);
    assert.ok(node.dpu !== undefined);
    const { hostKey: _hostKey, ...dpu } = node.dpu.dpu;
    const other = await dpuHostRig(context, {
      server: { tpm: RULES },
      hostTpm: tpmAgentSchema.parse({ device: second.device }),
      dpu: { hostTpm: dpu.hostTpm },
    });
    assertRefused((await runAttestation(other)).result, 'DPU_HOST_NOT_ATTESTED');
    assert.equal(other.refused.at(-1), 'VOUCHER_TPM_KEY');
    assert.equal(unwrap(other.inventory.find(DPU_SERIAL)).hostKey, undefined);
  });
});
