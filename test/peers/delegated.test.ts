import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { JsonLines, run, stopChild } from '../support/processes.ts';
import { needsShared, skipNow, skipUnlessCi } from '../support/shared.ts';
import { spirePrograms, startStockAgent } from './stock-agent.ts';
import { type PeerEvent, workloadClients } from './workload-clients.ts';

/** Issuing CAs so short-lived that one is replaced while a client watches. */
const ca = 'protection: delegated, issuing: { ttl: 32s, nameConstraint: true }';
const WEB = 'spiffe://example.org/web';

/** Waits for as many updates as show chains of two issuing CAs, all of them verified. */
async function seeRotations(stream: JsonLines<PeerEvent>): Promise<void> {
  const serials = new Set<string>();
  await stream.next((event) => {
    if (event.event !== 'x509') return false;
    for (const svid of event.svids ?? []) {
      assert.deepEqual([svid.id, svid.verified], [WEB, true]);
      serials.add(svid.serial ?? '');
    }
    // SVIDs are renewed every 8 s, issuing CAs every 16 s.
    return serials.size >= 4;
  });
}

for (const client of workloadClients) {
  describe(`chains of a delegated server as ${client.name} sees them`, () => {
    let fleet: Fleet;
    let missing: string | undefined;
    before(async () => {
      ({ missing } = await client.prepare());
      if (missing === undefined) fleet = await Fleet.start({ x509SvidTtl: '16s', ca });
    });
    after(() => fleet?.stop());

    test('verify, before and after the issuing CA is replaced', async (context) => {
      if (missing !== undefined) return skipNow(context, missing);
      await fleet.register('/web');
      const stream = new JsonLines<PeerEvent>(...client.command(['watch', fleet.workloadSocket]));
      try {
        await seeRotations(stream);
      } finally {
        await stream.stop();
      }
    });
  });
}

describe('a stock SPIRE agent at a delegated server', needsShared('rig/spire/spire.sh'), () => {
  test('attests, and hands out chains that verify', async () => {
    const fleet = await Fleet.start({
      serverOnly: true,
      x509SvidTtl: '40s',
      ca: 'protection: delegated',
    });
    const agent = await startStockAgent(fleet, await spirePrograms());
    const go = workloadClients[0];
    assert.ok(go);
    assert.deepEqual(await go.prepare(), { missing: undefined });
    await fleet.register('/web');
    const stream = new JsonLines<PeerEvent>(...go.command(['watch', agent.socket]));
    try {
      const first = await stream.next((event) => event.event === 'x509');
      assert.deepEqual(
        first.svids?.map(({ id, verified }) => [id, verified]),
        [[WEB, true]],
      );
    } finally {
      await stream.stop();
      await stopChild(agent.child);
      await fleet.stop();
    }
  });
});

const found = (await run('sh', ['-c', 'command -v openssl'])).code === 0;

describe('OpenSSL', found ? {} : skipUnlessCi('openssl is not installed'), () => {
  test('X509-18, X509-20 verifies the chain strictly, name constraints and all', async () => {
    const fleet = await Fleet.start({
      ca: 'protection: delegated, issuing: { nameConstraint: true }',
    });
    try {
      await fleet.register('/web');
      const fetched = await fleet.cli('api', 'fetch', 'x509', '--write', fleet.dir);
      assert.equal(fetched.code, 0, fetched.stderr);
      const chain = join(fleet.dir, 'svid.0.pem');
      assert.equal(readFileSync(chain, 'utf8').match(/BEGIN CERTIFICATE/g)?.length, 2);
      const bundle = join(fleet.dir, 'bundle.0.pem');
      const args = ['verify', '-x509_strict', '-CAfile', bundle];
      const verified = await run('openssl', [...args, '-untrusted', chain, chain]);
      assert.equal(verified.code, 0, verified.stderr);
      const alone = await run('openssl', [...args, chain]);
      assert.notEqual(alone.code, 0, 'the bundle holds no issuing CA');
    } finally {
      await fleet.stop();
    }
  });
});
