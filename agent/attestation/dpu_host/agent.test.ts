import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { encodeHostChallenge } from '../../../src/attestation/dpu_host/payload.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { runAttestation } from '../../../test/support/attestor-suite.ts';
import { BOOTS, dpuHostRig, HOST } from '../../../test/support/dpu-host.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { TRUST_DOMAIN } from '../../../test/support/state.ts';
import { testFolder } from '../../../test/support/workload-api.ts';
import { createDpuHostAttestor } from './agent.ts';

const KEY = { spki: Buffer.alloc(91, 1), sign: () => Buffer.alloc(70, 1) };

/** The agent's half over files of a test; the DPU is whatever listens on a port. */
function agentIn(folder: string, port = 1) {
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  return createDpuHostAttestor({
    settings: {
      address: '127.0.0.1',
      port,
      bootIdPath: file('boot_id', BOOTS[0]),
      uuidPath: file('uuid', HOST.uuid),
      serialPath: join(folder, 'absent'),
    },
    dataDir: folder,
    trustDomain: TRUST_DOMAIN,
    clock: systemClock,
  });
}

describe('the agent of a host', () => {
  test('keeps its key over restarts, for itself alone', async (context) => {
    const folder = testFolder(context);
    assertValue(await agentIn(folder).begin(KEY));
    const path = join(folder, 'dpu-host-key.pem');
    const first = readFileSync(path, 'utf8');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assertValue(await agentIn(folder).begin(KEY));
    assert.equal(readFileSync(path, 'utf8'), first);
  });

  test('makes no other key in the place of one that is damaged', async (context) => {
    const folder = testFolder(context);
    writeFileSync(join(folder, 'dpu-host-key.pem'), 'no key');
    assertRefused(await agentIn(folder).begin(KEY), 'VOUCHER_STATE_CORRUPT');
    assert.equal(readFileSync(join(folder, 'dpu-host-key.pem'), 'utf8'), 'no key');
  });

  for (const name of ['boot_id', 'uuid'] as const) {
    test(`does not begin without ${name}, or with one that is none`, async (context) => {
      const folder = testFolder(context);
      const agent = agentIn(folder);
      writeFileSync(join(folder, name), 'none');
      assertRefused(await agent.begin(KEY), 'AGENT_HOST_FACTS');
      rmSync(join(folder, name));
      assertRefused(await agent.begin(KEY), 'AGENT_HOST_FACTS');
    });
  }

  test('is a stranger to its DPU once it has lost its key', async (context) => {
    const rig = await dpuHostRig(context);
    assertValue((await runAttestation(rig)).result);
    rmSync(join(rig.folder, 'dpu-host-key.pem'));
    // What the agent fails with ends the exchange of the suite, which the server notes.
    assertRefused((await runAttestation(rig)).result, 'DPU_HOST_NOT_ATTESTED');
    assert.deepEqual(rig.refused, ['VOUCHER_REFUSED']);
  });

  const answers: readonly (readonly [string, number, string, ErrorCode])[] = [
    ['refuses', 403, '{"error":"VOUCHER_SECOND_KEY"}', 'VOUCHER_REFUSED'],
    ['redirects', 302, '', 'VOUCHER_REFUSED'],
    ['is busy', 429, '', 'VOUCHER_UNREACHABLE'],
    ['cannot vouch now', 503, '{"error":"VOUCHER_NOT_READY"}', 'VOUCHER_UNREACHABLE'],
    ['answers nonsense', 200, '{"v":1,"voucher":1}', 'DPU_HOST_MESSAGE'],
    ['answers too much', 200, 'x'.repeat(40_000), 'VOUCHER_UNREACHABLE'],
  ];
  for (const [name, status, body, code] of answers) {
    test(`tells a DPU that ${name} from one that is away`, async (context) => {
      const port = await serve(context, status, body);
      const session = assertValue(await agentIn(testFolder(context), port).begin(KEY));
      assertRefused(await session.respond(encodeHostChallenge({ nonce: Buffer.alloc(32) })), code);
    });
  }

  test('asks again later where nobody listens, and answers no challenge that is none', async (context) => {
    const session = assertValue(await agentIn(testFolder(context)).begin(KEY));
    const challenge = encodeHostChallenge({ nonce: Buffer.alloc(32) });
    assertRefused(await session.respond(challenge), 'VOUCHER_UNREACHABLE');
    assertRefused(await session.respond(Buffer.from('{}')), 'DPU_HOST_MESSAGE');
    assertRefused(
      await session.respond(encodeHostChallenge({ nonce: Buffer.alloc(31) })),
      'DPU_HOST_MESSAGE',
    );
  });
});

async function serve(context: TestContext, status: number, body: string): Promise<number> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(status, { Connection: 'close', Location: 'http://192.0.2.1/' });
    response.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  // AddressInfo, since it listens on an address.
  return (server.address() as AddressInfo).port;
}
