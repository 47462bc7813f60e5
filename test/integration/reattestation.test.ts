import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';
import { createX509PopAttestor } from '../../agent/attestation/x509pop/agent.ts';
import { systemRandom } from '../../src/base/random.ts';
import { AttestationService } from '../../src/gen/signet/attestation/v1/attestation.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { assertValue } from '../support/refused.ts';
import {
  type AttestResult,
  ask,
  assertStatus,
  attest,
  open,
  TestServer,
  TRUST_DOMAIN,
} from '../support/server.ts';
import { makeCertificate, makeCsr, makeKey, makeRoot } from '../support/x509.ts';

const root = makeRoot();
const nodeKey = makeKey();
let dir: string;
let server: TestServer;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  writeFileSync(join(dir, 'root.pem'), root.pem);
  writeFileSync(join(dir, 'key.pem'), nodeKey.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  server = await TestServer.start({
    limits: { attestation: { perSecond: 0 }, anonymousConnections: { perSecond: 0 } },
    attestation: {
      x509pop: {
        caBundlePaths: [join(dir, 'root.pem')],
        agentPathTemplate: '{{ .PluginName }}/{{ .Subject.CommonName }}',
      },
    },
  });
});

after(async () => {
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** What the agent's half shows and answers, with a certificate of this rack. */
async function session(commonName: string, rack: string) {
  const leaf = makeCertificate({
    issuer: root,
    key: nodeKey,
    subject: { commonName },
    uris: [`x509pop://${TRUST_DOMAIN}/rack:${rack}`],
  });
  const certificatePath = join(dir, `${commonName}-${rack}.pem`);
  writeFileSync(certificatePath, leaf.pem);
  const settings = { certificatePath, privateKeyPath: join(dir, 'key.pem') };
  const half = createX509PopAttestor(settings, systemRandom);
  return assertValue(await half.begin({ spki: Buffer.alloc(0), sign: () => Buffer.alloc(0) }));
}

/** One attestation over a stream; `answers` is false where it goes silent after the challenge. */
async function attestByKey(
  client: Client,
  csr: Uint8Array,
  [commonName, rack]: readonly [string, string],
  answers = true,
): Promise<AttestResult> {
  const { payload, respond } = await session(commonName, rack);
  const call = open(client, AgentService.attestAgent);
  const data = { type: 'x509pop', payload };
  call.write({ step: { $case: 'params', value: { data, params: { csr: Buffer.from(csr) } } } });
  for await (const { step } of call) {
    if (step?.$case === 'result') {
      call.end();
      return step.value;
    }
    if (!answers) {
      call.end();
      continue;
    }
    const response = assertValue(await respond(step?.value ?? Buffer.alloc(0)));
    call.write({ step: { $case: 'challengeResponse', value: Buffer.from(response) } });
  }
  assert.fail('the stream ended without a result');
}

describe('an agent that attests again', () => {
  test('keeps its ID, and what it is known by is what the later attestation says', async () => {
    const id = { trustDomain: TRUST_DOMAIN, path: '/spire/agent/x509pop/node-a' };
    const first = await attestByKey(await server.tcp(), makeCsr(), ['node-a', '1']);
    assert.deepEqual(first.svid?.id, id);
    assert.equal(first.reattestable, true);
    const shown = async (): Promise<string[]> => {
      const agent = await ask(server.admin(), AgentService.getAgent, { id, outputMask: undefined });
      return agent.selectors.map(({ value }) => value).filter((value) => value.startsWith('san:'));
    };
    assert.deepEqual(await shown(), ['san:rack:1']);
    await attestByKey(await server.tcp(), makeCsr(), ['node-a', '2']);
    assert.deepEqual(await shown(), ['san:rack:2']);
    const { assurance } = await ask(server.admin(), AttestationService.getAssurance, {
      agentId: id,
    });
    assert.deepEqual([assurance?.method, assurance?.binding], ['x509pop', 'key']);
    assert.equal(assurance?.zone, undefined);
  });

  test('makes its earlier SVID worthless, and may not renew in place of attesting', async () => {
    const keys = [makeKey(), makeKey()] as const;
    const csrs = keys.map((key) => makeCsr({ key }));
    const node = ['node-b', '1'] as const;
    const first = await attestByKey(await server.tcp(), csrs[0]!, node);
    const old = await server.tcp({ key: keys[0], chain: first.svid!.certChain });
    const renewal = { params: { csr: Buffer.from(makeCsr()) } };
    await assertStatus(ask(old, AgentService.renewAgent, renewal), 'AGENT_MUST_REATTEST');
    const status = { currentBundleSerial: 0n, agentVersion: 'v9' };
    await ask(old, AgentService.postStatus, status);
    const second = await attestByKey(await server.tcp(), csrs[1]!, node);
    await assertStatus(ask(old, AgentService.postStatus, status), 'AGENT_NOT_ACTIVE');
    const next = await server.tcp({ key: keys[1], chain: second.svid!.certChain });
    await ask(next, AgentService.postStatus, { ...status, agentVersion: '' });
    const id = { trustDomain: TRUST_DOMAIN, path: '/spire/agent/x509pop/node-b' };
    const agent = await ask(server.admin(), AgentService.getAgent, { id, outputMask: undefined });
    assert.equal(agent.agentVersion, 'v9');
  });

  test('is refused while it is banned', async () => {
    await attestByKey(await server.tcp(), makeCsr(), ['node-c', '1']);
    const id = { trustDomain: TRUST_DOMAIN, path: '/spire/agent/x509pop/node-c' };
    await ask(server.admin(), AgentService.banAgent, { id });
    const again = attestByKey(await server.tcp(), makeCsr(), ['node-c', '1']);
    await assertStatus(again, 'AGENT_BANNED');
  });

  test('is not attested by a stream that ends at the challenge', async () => {
    const ended = attestByKey(await server.tcp(), makeCsr(), ['node-d', '1'], false);
    await assertStatus(ended, 'ATTESTATION_PROTOCOL');
  });
});

describe('several attestors on one server', () => {
  test('are offered side by side, and what is not is named with what is', async () => {
    await server.attest();
    await attestByKey(await server.tcp(), makeCsr(), ['node-e', '1']);
    const call = open(await server.tcp(), AgentService.attestAgent);
    const data = { type: 'k8s_psat', payload: Buffer.from('x') };
    const params = { csr: Buffer.from(makeCsr()) };
    call.write({ step: { $case: 'params', value: { data, params } } });
    const error = await assertStatus(call.toArray(), 'ATTESTATION_TYPE');
    assert.match(error.details, /join_token, x509pop/);
  });

  test('join tokens are refused where they are turned off', async () => {
    const without = await TestServer.start({
      attestation: {
        joinToken: { enabled: false },
        x509pop: { caBundlePaths: [join(dir, 'root.pem')] },
      },
    });
    const token = await without.token();
    await assertStatus(attest(await without.tcp(), token, makeCsr()), 'ATTESTATION_TYPE');
    await without.stop();
  });
});
