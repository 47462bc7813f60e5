import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { toHex } from '../../src/base/bytes.ts';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient, type X509Context } from '../../src/client/index.ts';
import { AgentSyncService, type ServerMessage } from '../../src/gen/signet/agent/v1/agent.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { LocalAuthorityService } from '../../src/gen/spire/api/server/localauthority/v1/localauthority.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { parseCrl } from '../../src/x509/crl.ts';
import { Fleet } from '../support/fleet.ts';
import { Followed, rootsOf } from '../support/followed.ts';
import { assertValue } from '../support/refused.ts';
import {
  ask,
  assertStatus,
  open,
  servedCertificate,
  type TestIdentity,
  TestServer,
  TRUST_DOMAIN,
} from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';

const LocalAuthority = LocalAuthorityService;

/** Hex of the key identifier of what signed a certificate. */
function signerId(der: Uint8Array | undefined): string {
  return toHex(assertValue(parseCertificate(der ?? new Uint8Array())).authorityKeyId!);
}

describe('a stolen issuing CA', () => {
  let server: TestServer;
  before(async () => {
    server = await TestServer.start({
      ca: { protection: 'delegated' },
      crl: { enabled: true },
      telemetry: { port: 0 },
    });
  });
  after(() => server.stop());

  const show = () => ask(server.admin(), LocalAuthority.getX509AuthorityState, {});
  const taint = (authorityId: string) =>
    ask(server.admin(), LocalAuthority.taintX509Authority, { authorityId });
  const revoke = (authorityId: string) =>
    ask(server.admin(), LocalAuthority.revokeX509Authority, { authorityId });
  const bundle = async (identity?: TestIdentity) =>
    ask(await server.tcp(identity), BundleService.getBundle, { outputMask: undefined });

  async function mint(): Promise<string> {
    const csr = Buffer.from(makeCsr({ uris: [`spiffe://${TRUST_DOMAIN}/minted`] }));
    const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
    return signerId(svid?.certChain[0]);
  }

  const served = async () => signerId(await servedCertificate(server));

  /** The taints that a new push stream is told, one call for each. */
  async function tainted(identity: TestIdentity): Promise<() => Promise<readonly string[]>> {
    const stream = open(await server.tcp(identity), AgentSyncService.sync);
    const hello = {
      revision: 0n,
      feedId: '',
      bundleSequence: 0n,
      agentVersion: '',
      crlNumber: 0n,
      quarantined: false,
    };
    stream.write({ kind: { $case: 'hello', value: hello } });
    const messages: AsyncIterator<ServerMessage> = stream[Symbol.asyncIterator]();
    return async () => {
      for (;;) {
        const { kind } = (await messages.next()).value as ServerMessage;
        if (kind?.$case === 'taint') return kind.value.subjectKeyIds.map(toHex);
      }
    };
  }

  test('is listed, replaced when it is tainted, and its SVIDs are nobody when it is revoked', async () => {
    const agent = await server.attest();
    const told = await tainted(agent);
    const { active, issuing } = await show();
    assert.deepEqual(
      issuing.map(({ state, server: name, issuerId }) => [state, name, issuerId]),
      [['issuing', hostname(), active?.authorityId]],
    );
    const stolen = issuing[0]?.authorityId ?? '';
    assert.equal(await mint(), stolen);
    await assertStatus(revoke(stolen), 'AUTHORITY_WRONG_STATE');

    await taint(stolen);
    assert.deepEqual(await told(), [stolen]);
    const after = (await show()).issuing;
    const [old, next] = ['tainted', 'issuing'].map((it) => after.find(({ state }) => state === it));
    assert.equal(old?.authorityId, stolen);
    assert.equal(await mint(), next?.authorityId);
    await assertStatus(taint(stolen), 'AUTHORITY_WRONG_STATE');
    // The server's own SVID is made anew in a turn of its own.
    while ((await served()) !== next?.authorityId);
    // Until it is revoked, who has not renewed yet goes on.
    await bundle(agent);

    await server.restart();
    assert.deepEqual(await (await tainted(agent))(), [stolen], 'told at the start of a stream too');
    assert.deepEqual(
      (await show()).issuing.map(({ state }) => state).toSorted(),
      ['issuing', 'old', 'tainted'],
      'what ended with its process signs no more',
    );

    await revoke(stolen);
    const params = { csr: Buffer.from(makeCsr()) };
    const renewed = ask(await server.tcp(agent), AgentService.renewAgent, { params });
    await assertStatus(renewed, 'SVID_REVOKED');
    const response = await fetch(`http://127.0.0.1:${server.running.telemetryPort}/crl`);
    const crl = assertValue(parseCrl(new Uint8Array(await response.arrayBuffer())));
    const ca = assertValue(parseCertificate(agent.chain[1] ?? new Uint8Array()));
    assert.equal(crl.find(ca.issuerDer, ca.serial)?.reason, 2);
    await assertStatus(revoke(stolen), 'AUTHORITY_WRONG_STATE');
  });

  test('of another name than is known is refused as authorities are', async () => {
    await assertStatus(taint('00'.repeat(20)), 'AUTHORITY_UNKNOWN');
  });
});

/** Hex of the key identifier of the issuing CA that signed a workload's SVID. */
function issuerOf({ svids: [svid] }: X509Context): string {
  return toHex(svid.chain[0]?.authorityKeyId ?? Buffer.alloc(0));
}

test('agents renew at once what a tainted issuing CA signed; show fits a terminal', async () => {
  const fleet = await Fleet.start({ ca: 'protection: delegated' });
  try {
    await fleet.register('/web');
    const address = unwrap(parseWorkloadAddress(`unix://${fleet.workloadSocket}`));
    const stream = new Followed(new WorkloadClient(address));
    const first = await stream.until(() => true);
    const stolen = issuerOf(first);
    const listed = await fleet.cli('localauthority', 'x509', 'show');
    assert.match(
      listed.stdout,
      new RegExp(`\n\nSTATE +ENDS IN +SERVER +ISSUING CA ID\nissuing .*${stolen}\n$`),
    );
    const [, table = ''] = listed.stdout.split('\n\n');
    assert.ok(
      table.split('\n').every((line) => line.length <= 80),
      table,
    );
    await fleet.json('localauthority', 'x509', 'taint', '--authority-id', stolen);
    const renewed = await stream.until((context) => issuerOf(context) !== stolen);
    assert.deepEqual(rootsOf(renewed), rootsOf(first), 'the root stays');
    stream.close();
  } finally {
    await fleet.stop();
  }
});
