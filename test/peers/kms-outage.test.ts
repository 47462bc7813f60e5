import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { type KmsFaultProxy, startKmsFaultProxy } from '../support/kms-fault-proxy.ts';
import { mintJwt } from '../support/minting.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { makeCsr } from '../support/x509.ts';
import { type KmsServer, prepareKms, startKms } from './kms-server.ts';

const missing = await prepareKms();
const MINUTE_MS = 60_000;
const STEP_MS = 10_000;
const LANES = 4;
const BATCH = 5;

describe('an outage of AWS KMS', missing === undefined ? {} : skipUnlessCi(missing), () => {
  let kms: KmsServer;
  let proxy: KmsFaultProxy;
  before(async () => {
    process.env.AWS_ACCESS_KEY_ID = 'AKIAEXAMPLE';
    process.env.AWS_SECRET_ACCESS_KEY = 'example';
    kms = await startKms();
    proxy = await startKmsFaultProxy(kms.port);
  });
  after(async () => {
    await proxy?.close();
    await kms?.stop();
  });

  test('B2 of ten minutes under load, over a renewal of the issuing CA, refuses no SVID', async (context) => {
    // Behind the clock of this machine by what is to pass, so that TLS finds every certificate valid.
    const clock = new ManualClock(Date.now() - 12.1 * 60 * MINUTE_MS);
    const unlimited = { perSecond: 0 };
    const at = await TestServer.start(
      {
        keys: { manager: 'aws-kms', awsKms: { region: 'eu-west-1', endpoint: proxy.url } },
        limits: { agentSignatures: unlimited, agentCalls: unlimited },
        telemetry: { port: 0 },
      },
      { clock },
    );
    context.after(async () => {
      // What waits for its next try would wait for ever. It goes on also when the stop has answered,
      // since that has a limit by the same clock; an interval without a hold on the process may.
      setInterval(() => clock.advance(100), 10).unref();
      await at.stop();
    });
    // Two minutes before half of the issuing CA's life; the server's own SVID is renewed on the way.
    for (let hops = 0; hops < 48; hops++) {
      clock.advance(15 * MINUTE_MS - (hops === 47 ? 2 * MINUTE_MS : 0));
      await mintJwt(at);
    }
    const load = await loadOn(at);
    const first = await load.round();
    assert.equal(first.issuers.size, 1);

    proxy.decide = () => 'reset';
    try {
      for (let passedMs = 0; passedMs < 10 * MINUTE_MS; passedMs += STEP_MS) {
        clock.advance(STEP_MS);
        const { issuers } = await load.round();
        assert.deepEqual(issuers, first.issuers);
      }
      assert.equal(await metric(at, 'issuing_ca_renewal_failing'), 1);
      assert.ok(
        (await metric(at, 'issuing_ca_failures_total')) >= 2,
        'it is tried again and again',
      );
      assert.equal(at.running.health.report('ready').ok, true);
    } finally {
      proxy.decide = () => undefined;
    }
    // It is tried at least every minute; answers take real time, and a round does, too.
    for (let rounds = 0; ; rounds++) {
      clock.advance(STEP_MS / 10);
      const { issuers } = await load.round();
      if (!issuers.isSubsetOf(first.issuers)) break;
      assert.ok(rounds < 1000, 'renewed when KMS is back');
    }
    assert.equal(await metric(at, 'issuing_ca_renewal_failing'), 0);
    assert.equal(load.refused.length, 0, load.refused.slice(0, 5).join('; '));
    assert.ok(load.issued >= 60 * LANES * BATCH);
  });
});

/** Clients that ask for batches at once, and what they were refused. */
async function loadOn(at: TestServer) {
  const agent = await at.attest();
  const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });
  const entry = await at.register({ spiffeId: td('/web'), parentId: td(agent.path) });
  const client = await at.tcp(agent);
  const csr = Buffer.from(makeCsr());
  const params = Array.from({ length: BATCH }, () => ({ entryId: entry.id, csr }));
  const refused: string[] = [];
  const load = {
    refused,
    issued: 0,
    /** One batch on each lane, and a token; the issuers that signed. */
    async round() {
      const lanes = Array.from({ length: LANES }, () =>
        ask(client, SVIDService.batchNewX509Svid, { params }),
      );
      const issuers = new Set<string>();
      for (const { results } of await Promise.all(lanes)) {
        for (const { status, svid } of results) {
          if (status?.code !== 0) refused.push(status?.message ?? 'no status');
          const [leaf] = svid?.certChain ?? [];
          if (leaf === undefined) continue;
          load.issued += 1;
          // By its key: every issuing CA of a server has the same name.
          issuers.add(new X509Certificate(svid!.certChain[1]!).fingerprint256);
        }
      }
      const token = await mintJwt(at).catch((error: Error) => refused.push(error.message));
      assert.ok(token);
      return { issuers };
    },
  };
  return load;
}

/** The sum of a metric's series. */
async function metric(at: TestServer, name: string): Promise<number> {
  const page = await fetch(`http://127.0.0.1:${at.running.telemetryPort}/metrics`);
  const lines = (await page.text()).split('\n');
  const own = lines.filter((line) => line.startsWith(`signet_server_${name}`));
  return own.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
