import { createHash } from 'node:crypto';
import { createJoinTokenAttestor as createAgentHalf } from '../../agent/attestation/join_token/agent.ts';
import { AGENT_TEST_DOMAIN } from '../../test/support/agent-ca.ts';
import { attestorSuite, testRequest } from '../../test/support/attestor-suite.ts';
import { assertValue } from '../../test/support/refused.ts';
import { openCredential, pretendAk, pretendEk, pretendQuote } from '../../test/support/tpm.ts';
import { makeKey } from '../../test/support/x509.ts';
import { x509popRig } from '../../test/support/x509pop.ts';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { ok } from '../base/result.ts';
import { parseTpmPublic, tpmKeyObject, tpmName } from '../tpm/public-area.ts';
import { bindingNonce } from './binding-nonce.ts';
import { createJoinTokenAttestor } from './join_token/server.ts';
import {
  decodeTpmChallenge,
  encodeTpmPayload,
  encodeTpmResponse,
  TPM_TARGET,
} from './tpm/payload.ts';
import { createTpmAttestor } from './tpm/server.ts';

attestorSuite({
  name: 'join_token',
  rounds: 0,
  async rig() {
    const agent = createAgentHalf({ token: 'abc' });
    const record = { tokenHash: '', expiresAtSeconds: 0, aliasId: undefined };
    const known = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    return {
      request: testRequest(),
      begin: async () =>
        assertValue(await agent.begin({ spki: Buffer.alloc(0), sign: () => Buffer.alloc(0) })),
      server: createJoinTokenAttestor({
        trustDomain: AGENT_TEST_DOMAIN,
        claimJoinToken: async (hash) =>
          ok(hash === known ? { outcome: 'claimed', token: record } : { outcome: 'unknown' }),
      }),
    };
  },
});

for (const type of ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] as const) {
  attestorSuite({
    name: `x509pop, ${type}`,
    rounds: 1,
    rig: async (context) => x509popRig(context, { key: makeKey(type) }),
  });
}

attestorSuite({
  name: 'tpm, without a TPM',
  rounds: 1,
  async rig() {
    const [ek, ak] = [pretendEk(), pretendAk()];
    const ekArea = assertValue(parseTpmPublic(ek.publicArea));
    const spki = assertValue(tpmKeyObject(ekArea)).export({ type: 'spki', format: 'der' });
    const known = createHash('sha256').update(spki).digest('hex');
    const name = tpmName(assertValue(parseTpmPublic(ak.publicArea)));
    const request = testRequest();
    const payload = { ekCertificate: undefined, ekPublic: ek.publicArea, akPublic: ak.publicArea };
    return {
      request,
      server: createTpmAttestor({
        trust: { roots: [], intermediates: [], knownKeys: new Set([known]) },
        pcrs: [0, 7],
        registry: { trustDomain: AGENT_TEST_DOMAIN },
        clock: systemClock,
        random: systemRandom,
      }),
      begin: async () => ({
        payload: encodeTpmPayload(payload),
        async respond(bytes) {
          const challenge = assertValue(decodeTpmChallenge(bytes));
          const { nonce: serverNonce, session, pcrs } = challenge;
          const { csrSpki } = request;
          const trustDomain = AGENT_TEST_DOMAIN.name;
          const bound = { serverNonce, csrSpki, trustDomain, session, target: TPM_TARGET };
          const values = pcrs.map((pcr) => Buffer.alloc(32, pcr));
          const quote = { nonce: bindingNonce(bound), indices: pcrs, values };
          const secret = openCredential(ek, name, challenge) ?? Buffer.alloc(32);
          return ok(encodeTpmResponse({ secret, ...pretendQuote(ak, quote), values }));
        },
        close: async () => {},
      }),
    };
  },
});
