import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bindingNonce } from '../../../src/attestation/binding-nonce.ts';
import {
  type DpuChallenge,
  decodeDpuPayload,
  decodeDpuResponse,
  encodeDpuChallenge,
  possessionMessage,
} from '../../../src/attestation/dpu/payload.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { seededRandom, systemRandom } from '../../../src/base/random.ts';
import { verifyEvidence } from '../../../src/dpu/evidence.ts';
import { DEFAULT_SPDM_POLICY } from '../../../src/spdm/policy.ts';
import { parsePublicKey } from '../../../src/x509/public-key.ts';
import { verifyWithScheme } from '../../../src/x509/signature.ts';
import { IROT_TARGET, mockTarget, TestCard } from '../../../test/support/dpu.ts';
import { IROT } from '../../../test/support/manifest.ts';
import { MOCK_ACCOUNT, MOCK_TLS, startMockBmc } from '../../../test/support/mock-bmc.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { TRUST_DOMAIN } from '../../../test/support/state.ts';
import { testFolder } from '../../../test/support/workload-api.ts';
import { makeKey } from '../../../test/support/x509.ts';
import type { AttestationKey } from '../node-attestor.ts';
import { createDpuAttestor } from './agent.ts';
import { dpuAgentSchema } from './settings.ts';

const CHALLENGE: DpuChallenge = {
  session: 'A'.repeat(43),
  serverNonce: systemRandom.bytes(32),
  kinds: ['spdm-redfish'],
  targets: [{ id: IROT, slot: 0 }],
  joinSecret: false,
};

/** An agent's half on a card behind a mock BMC. */
async function setUp(
  context: TestContext,
  settings: (
    file: (name: string, text: string) => string,
  ) => Readonly<Record<string, unknown>> = () => ({}),
) {
  const card = new TestCard('MT0000X00001');
  const { mock, origin } = await startMockBmc(context, { targets: { [IROT]: mockTarget(card) } });
  const folder = testFolder(context);
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const key = makeKey();
  const attestor = createDpuAttestor({
    settings: dpuAgentSchema.parse({
      serialPath: file('serial', 'MT0000X00001  \n'),
      bmc: {
        address: origin,
        tlsPin: MOCK_TLS.pin,
        userNamePath: file('user', MOCK_ACCOUNT.userName),
        passwordPath: file('password', MOCK_ACCOUNT.password),
      },
      ...settings(file),
    }),
    dataDir: folder,
    trustDomain: TRUST_DOMAIN,
    clock: systemClock,
    random: seededRandom(1),
  });
  const csrKey: AttestationKey = {
    spki: key.spki,
    sign: (message) => sign('sha256', message, key.privateKey),
  };
  return { mock, attestor, key, csrKey };
}

test('answers a challenge with evidence that is bound to the key, and signs it', async (context) => {
  const { mock, attestor, key, csrKey } = await setUp(context);
  const session = assertValue(await attestor.begin(csrKey));
  const { serial, offers } = assertValue(decodeDpuPayload(session.payload));
  assert.deepEqual([serial, offers], ['MT0000X00001', ['spdm-redfish', 'x509pop']], 'trimmed');
  const answer = assertValue(await session.respond(encodeDpuChallenge(CHALLENGE)));
  const response = assertValue(decodeDpuResponse(answer));
  const [shown] = response.evidence;
  assert.ok(shown);
  const nonce = bindingNonce({
    ...CHALLENGE,
    csrSpki: key.spki,
    trustDomain: 'example.org',
    target: IROT,
  });
  const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() };
  assertValue(verifyEvidence(shown, IROT_TARGET, nonce, rules));
  const message = possessionMessage(response);
  const scheme = { kind: 'ecdsa', hash: 'sha256' } as const;
  const publicKey = assertValue(parsePublicKey(key.spki));
  assertValue(verifyWithScheme(publicKey, scheme, message, response.signature));
  await session.close();
  assert.equal(mock.sessions.size, 0, 'the session at the BMC is ended');
});

test('the secret of the image is sent only where the server asks for it', async (context) => {
  const { attestor, csrKey } = await setUp(context);
  const session = assertValue(await attestor.begin(csrKey));
  const asked = encodeDpuChallenge({ ...CHALLENGE, joinSecret: true });
  assertRefused(await session.respond(asked), 'DPU_JOIN_SECRET');
  const bearer = await setUp(context, (file) => ({ joinSecretPath: file('secret', 'once\n') }));
  const second = assertValue(await bearer.attestor.begin(csrKey));
  const told = assertValue(decodeDpuResponse(assertValue(await second.respond(asked))));
  assert.equal(told.joinSecret, 'once');
  const untold = assertValue(await second.respond(encodeDpuChallenge(CHALLENGE)));
  assert.equal(assertValue(decodeDpuResponse(untold)).joinSecret, undefined);
});

test('a component that the BMC does not have, and a challenge that is none, are refused', async (context) => {
  const { attestor, csrKey } = await setUp(context);
  const session = assertValue(await attestor.begin(csrKey));
  const unknown = { ...CHALLENGE, targets: [{ id: 'Bluefield_ERoT', slot: 0 }] };
  assertRefused(await session.respond(encodeDpuChallenge(unknown)), 'REDFISH_TARGET_UNKNOWN');
  assertRefused(await session.respond(Buffer.from('{}')), 'DPU_MESSAGE');
});

test('without a serial number nothing is begun', async (context) => {
  const { attestor, csrKey } = await setUp(context, (file) => ({
    serialPath: file('empty', ' \n'),
  }));
  assertRefused(await attestor.begin(csrKey), 'AGENT_DPU_SERIAL');
});
