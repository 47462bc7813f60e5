import { test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { assertRefused } from '../../../test/support/refused.ts';
import { TRUST_DOMAIN } from '../../../test/support/state.ts';
import { dpuAgentSchema } from './settings.ts';
import { CardTpm } from './tpm.ts';

const SESSION = 'A'.repeat(43);
const KEY = { spki: new Uint8Array(91), sign: () => Buffer.alloc(0) };

/** A card without a TPM, or with one at a place where none is. */
function cardTpm(tpm?: { readonly device: string }): CardTpm {
  const direct = { targets: [{ id: 'Bluefield_DPU_IRoT', address: '127.0.0.1:1' }] };
  const settings = dpuAgentSchema.parse({ direct, ...(tpm && { tpm }) });
  const parts = { dataDir: '/nowhere', trustDomain: TRUST_DOMAIN };
  return new CardTpm({ settings, ...parts, clock: systemClock, random: systemRandom }, KEY);
}

test('a server that asks for a TPM where none is configured is refused', async () => {
  assertRefused(await cardTpm().answer({ session: SESSION }), 'DPU_EVIDENCE_INCOMPLETE');
});

test('a TPM that is not there is no other refusal than with the attestor of TPMs', async () => {
  const tpm = cardTpm({ device: 'unix:/nowhere/tpm' });
  assertRefused(await tpm.answer({ session: SESSION }), 'AGENT_TPM_UNAVAILABLE');
});

test('the TPM is asked for its keys, then for its quote, and for nothing more', async () => {
  const challenge = new Uint8Array(1);
  assertRefused(await cardTpm().answer({ session: SESSION, challenge }), 'AGENT_SERVER_ANSWER');
  const tpm = cardTpm();
  await tpm.answer({ session: SESSION });
  assertRefused(await tpm.answer({ session: SESSION }), 'AGENT_SERVER_ANSWER');
  assertRefused(await tpm.answer({ session: SESSION, challenge }), 'AGENT_SERVER_ANSWER');
  await tpm.close();
});
