import { createJoinTokenAttestor as createAgentHalf } from '../../agent/attestation/join_token/agent.ts';
import { AGENT_TEST_DOMAIN } from '../../test/support/agent-ca.ts';
import { attestorSuite, testRequest } from '../../test/support/attestor-suite.ts';
import { dpuHostRig } from '../../test/support/dpu-host.ts';
import { psatRig } from '../../test/support/k8s-psat.ts';
import { assertValue } from '../../test/support/refused.ts';
import { pretendTpmRig } from '../../test/support/tpm-rig.ts';
import { makeKey } from '../../test/support/x509.ts';
import { x509popRig } from '../../test/support/x509pop.ts';
import { ok } from '../base/result.ts';
import { createJoinTokenAttestor } from './join_token/server.ts';

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

attestorSuite({ name: 'k8s_psat', rounds: 0, rig: (context) => psatRig(context) });

attestorSuite({ name: 'tpm, without a TPM', rounds: 1, rig: async () => pretendTpmRig() });

attestorSuite({ name: 'dpu_host', rounds: 1, rig: (context) => dpuHostRig(context) });
