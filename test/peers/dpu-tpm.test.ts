import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createDpuAttestor } from '../../agent/attestation/dpu/agent.ts';
import { dpuAgentSchema } from '../../agent/attestation/dpu/settings.ts';
import { askTpm } from '../../src/attestation/dpu/tpm.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import { TRUST_DOMAIN } from '../support/state.ts';
import { makeKey } from '../support/x509.ts';
import { prepareSwtpm, type Swtpm, startSwtpm } from './swtpm.ts';

const missing = await prepareSwtpm();
if (missing !== undefined && process.env.CI === 'true') assert.fail(missing);

/** Knows every key: which one a TPM in software has is not known before. */
class EveryKey extends Set<string> {
  override has(): boolean {
    return true;
  }
}

describe('the TPM of a card, in software', { skip: missing ?? false }, () => {
  let swtpm: Swtpm;

  before(async () => {
    swtpm = await startSwtpm();
  });

  after(() => swtpm?.stop());

  test('quotes for the key of the request, through both halves of dpu', async () => {
    const key = makeKey();
    const direct = { targets: [{ id: 'Bluefield_DPU_IRoT', address: '127.0.0.1:1' }] };
    const attestor = createDpuAttestor({
      settings: dpuAgentSchema.parse({ serial: 'MT1', direct, tpm: { device: swtpm.device } }),
      dataDir: swtpm.dir,
      trustDomain: TRUST_DOMAIN,
      clock: systemClock,
      random: systemRandom,
    });
    const session = assertValue(
      await attestor.begin({
        spki: key.spki,
        sign: (message) => sign('sha256', message, key.privateKey),
      }),
    );
    const tpm = {
      trust: { roots: [], intermediates: [], knownKeys: new EveryKey() },
      revocation: async () => ({ crls: [], maxStaleMs: 0 }),
      pcrs: [0, 7],
      unsafeClock: 'accepted' as const,
      lastClock: () => undefined,
    };
    const parts = { tpm, trustDomain: TRUST_DOMAIN, clock: systemClock, random: systemRandom };
    const request = { payload: session.payload, csrSpki: key.spki, csrKeyHash: '' };
    let last: Uint8Array = session.payload;
    const proven = await askTpm(parts, 'A'.repeat(43), request, (bytes) => {
      last = bytes;
      return session.respond(bytes);
    });
    assertRefused(await session.respond(last), 'AGENT_SERVER_ANSWER');
    await session.close();
    const { endorsement, state } = assertValue(proven);
    assert.match(endorsement.sha256, /^[0-9a-f]{64}$/);
    assert.equal(state.values.length, 2);
  });
});
