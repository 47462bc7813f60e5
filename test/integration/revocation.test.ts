import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { AgentSyncService, type ServerMessage } from '../../src/gen/signet/agent/v1/agent.ts';
import {
  Reason,
  RevocationService,
  type RevokeX509SVIDRequest,
} from '../../src/gen/signet/revocation/v1/revocation.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import type { X509BundlesResponse, X509SVIDResponse } from '../../src/gen/workload.ts';
import { parseCertificates } from '../../src/x509/certificate.ts';
import { parseCrl } from '../../src/x509/crl.ts';
import { trustCrl } from '../../src/x509/crl-trust.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import {
  ask,
  assertStatus,
  open,
  servedCertificate,
  type TestAgent,
  TestServer,
  TRUST_DOMAIN,
} from '../support/server.ts';
import { Reading, securityHeader, workloadClient } from '../support/workload-api.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });

function serialOf(chain: Uint8Array): string {
  return assertValue(parseCertificates(chain))[0]!.serialDecimal;
}

/** Serial number of the certificate that a new connection sees. */
async function servedSerial(server: TestServer): Promise<string> {
  return serialOf(await servedCertificate(server));
}

describe('RevokeX509SVID', () => {
  let server: TestServer;
  before(async () => {
    server = await TestServer.start();
  });
  after(() => server.stop());

  const revoke = (target: RevokeX509SVIDRequest['target'], reason: Reason = Reason.UNSPECIFIED) =>
    ask(server.admin(), RevocationService.revokeX509Svid, { target, reason });

  const bySerial = (...values: string[]) => revoke({ $case: 'serialNumbers', value: { values } });

  async function newSvid(agent: TestAgent, entryId: string): Promise<string> {
    const request = { params: [{ entryId, csr: Buffer.from(makeCsr({ key: makeKey() })) }] };
    const client = await server.tcp(agent);
    const { results } = await ask(client, SVIDService.batchNewX509Svid, request);
    return serialOf(results[0]?.svid?.certChain[0] ?? new Uint8Array());
  }

  test('finds what was issued by serial, SPIFFE ID and agent, once each', async () => {
    const agent = await server.attest();
    const entry = await server.register({ spiffeId: td('/web'), parentId: td(agent.path) });
    const [first, second, third] = [
      await newSvid(agent, entry.id),
      await newSvid(agent, entry.id),
      await newSvid(agent, entry.id),
    ];
    const one = await bySerial(first, '12345');
    assert.deepEqual([one.count, one.alreadyRevoked], [1, 0]);
    assert.equal(one.revoked[0]?.serialNumber, first);
    assert.deepEqual(one.revoked[0]?.agentId, td(agent.path));
    const rest = await revoke({ $case: 'spiffeId', value: td('/web') }, Reason.KEY_COMPROMISE);
    assert.deepEqual([rest.count, rest.alreadyRevoked], [2, 1]);
    assert.deepEqual(
      rest.revoked.map(({ serialNumber }) => serialNumber).sort(),
      [second, third].sort(),
    );
    assert.ok(rest.revoked.every(({ reason }) => reason === Reason.KEY_COMPROMISE));
    const all = await revoke({ $case: 'agentId', value: td(agent.path) });
    assert.deepEqual([all.count, all.alreadyRevoked], [1, 3]);
    assert.deepEqual(all.revoked[0]?.id, td(agent.path));
  });

  test('what is revoked is listed by serial number, a page at a time', async () => {
    const agent = await server.attest();
    const entry = await server.register({ spiffeId: td('/listed'), parentId: td(agent.path) });
    const mine: string[] = [];
    for (let i = 0; i < 3; i++) mine.push(await newSvid(agent, entry.id));
    await revoke({ $case: 'spiffeId', value: td('/listed') }, Reason.SUPERSEDED);
    const page = (pageSize: number, pageToken = '') =>
      ask(server.admin(), RevocationService.listRevokedX509SviDs, { pageSize, pageToken });
    const all = await page(0);
    assert.equal(all.nextPageToken, '');
    const serials = all.revoked.map(({ serialNumber }) => BigInt(serialNumber));
    assert.ok(serials.every((serial, at) => at === 0 || serial > serials[at - 1]!));
    const listed = all.revoked.filter(({ id }) => id?.path === '/listed');
    assert.deepEqual(listed.map(({ serialNumber }) => serialNumber).sort(), mine.sort());
    assert.ok(listed.every(({ reason }) => reason === Reason.SUPERSEDED));
    const paged = [];
    for (let token = ''; ; ) {
      const { revoked, nextPageToken } = await page(2, token);
      paged.push(...revoked);
      token = nextPageToken;
      if (token === '') break;
      assert.equal(revoked.length, 2);
    }
    assert.deepEqual(paged, all.revoked);
    await assertStatus(page(2, 'x'), 'PAGE_TOKEN');
  });

  test("the server's own SVID is replaced at once, and no connection breaks", async () => {
    const agent = await server.attest();
    const client = await server.tcp(agent);
    await ask(client, BundleService.getBundle, { outputMask: undefined });
    const own = td('/spire/server');
    const before = await servedSerial(server);
    const { revoked } = await revoke({ $case: 'spiffeId', value: own });
    assert.ok(revoked.some(({ serialNumber }) => serialNumber === before));
    // It is made anew in a turn of its own.
    while ((await servedSerial(server)) === before);
    await ask(client, BundleService.getBundle, { outputMask: undefined });
    const csr = Buffer.from(makeCsr());
    await ask(await server.tcp(agent), AgentService.renewAgent, { params: { csr } });
  });

  test('refuses what it cannot mean', async () => {
    await assertStatus(bySerial('12345'), 'REVOCATION_NOT_FOUND');
    await assertStatus(revoke(undefined), 'FIELD_MISSING');
    await assertStatus(bySerial(), 'FIELD_INVALID');
    await assertStatus(bySerial('4f'), 'FIELD_INVALID');
    await assertStatus(bySerial('9'.repeat(50)), 'FIELD_INVALID');
    await assertStatus(bySerial(...Array.from({ length: 17 }, String)), 'FIELD_INVALID');
    await assertStatus(revoke({ $case: 'spiffeId', value: td('/nobody') }), 'REVOCATION_NOT_FOUND');
    const agent = await server.attest();
    const hold = revoke({ $case: 'agentId', value: td(agent.path) }, 6 as Reason);
    await assertStatus(hold, 'FIELD_INVALID');
  });

  test('an agent with a revoked SVID is nobody: no call, no renewal, its stream ends', async () => {
    const agent = await server.attest();
    const client = await server.tcp(agent);
    const stream = open(client, AgentSyncService.sync);
    const ended = new Promise((_, reject) => stream.on('error', reject));
    ended.catch(() => {});
    const opened = new Promise((resolve) => stream.once('data', resolve));
    const hello = {
      revision: 0n,
      feedId: '',
      bundleSequence: 0n,
      agentVersion: '',
      crlNumber: 0n,
      quarantined: false,
    };
    stream.write({ kind: { $case: 'hello', value: hello } });
    await opened;
    await revoke({ $case: 'spiffeId', value: td(agent.path) });
    stream.resume();
    await assertStatus(ended, 'SVID_REVOKED');
    const params = { csr: Buffer.from(makeCsr({ key: makeKey() })) };
    await assertStatus(ask(client, AgentService.renewAgent, { params }), 'SVID_REVOKED');
    const entries = ask(client, EntryService.getAuthorizedEntries, { outputMask: undefined });
    await assertStatus(entries, 'SVID_REVOKED');
    // As everybody may.
    await ask(client, BundleService.getBundle, { outputMask: undefined });
  });

  test('an operator with a revoked SVID is nobody either', async () => {
    const key = makeKey();
    const csr = Buffer.from(makeCsr({ key, uris: [`spiffe://${TRUST_DOMAIN}/admin`] }));
    await server.register({ spiffeId: td('/admin'), admin: true });
    const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
    const client = await server.tcp({ key, chain: svid?.certChain ?? [] });
    await ask(client, AgentService.countAgents, { filter: undefined });
    await revoke({ $case: 'spiffeId', value: td('/admin') });
    await assertStatus(
      ask(client, AgentService.countAgents, { filter: undefined }),
      'SVID_REVOKED',
    );
  });

  test('a stream is told of all that is revoked and alive, at its start and as it comes', async () => {
    const agent = await server.attest();
    const entry = await server.register({ spiffeId: td('/told'), parentId: td(agent.path) });
    const [before, later] = [await newSvid(agent, entry.id), await newSvid(agent, entry.id)];
    await bySerial(before);
    // Nothing of it was only in memory.
    await server.restart();
    const stream = open(await server.tcp(agent), AgentSyncService.sync);
    const told: string[] = [];
    const heard = Promise.withResolvers<void>();
    stream.on('error', () => {});
    stream.on('data', ({ kind }: ServerMessage) => {
      if (kind?.$case !== 'revoke') return;
      told.push(...kind.value.serialNumbers);
      if (told.length === 1) bySerial(later).catch(heard.reject);
      if (told.length === 2) heard.resolve();
    });
    const hello = {
      revision: 0n,
      feedId: '',
      bundleSequence: 0n,
      agentVersion: '',
      crlNumber: 0n,
      quarantined: false,
    };
    stream.write({ kind: { $case: 'hello', value: hello } });
    await heard.promise;
    assert.deepEqual(told, [before, later]);
    stream.cancel();
  });

  test('needs the ledger', async () => {
    const without = await TestServer.start({ ledger: { enabled: false } });
    const agent = await without.attest();
    const target = { $case: 'agentId', value: td(agent.path) } as const;
    const revoked = ask(without.admin(), RevocationService.revokeX509Svid, { target, reason: 0 });
    await assertStatus(revoked, 'REVOCATION_NEEDS_LEDGER');
    await without.stop();
  });
});

test('the CRL lists what issuing CAs signed, also one that its process took along', async () => {
  const server = await TestServer.start({
    ca: { protection: 'delegated' },
    crl: { enabled: true },
    telemetry: { port: 0 },
  });
  const agent = await server.attest();
  const [ofOne] = assertValue(parseCertificates(agent.chain[0] ?? new Uint8Array()));
  await server.restart();
  const later = await server.attest();
  const [ofTwo] = assertValue(parseCertificates(later.chain[0] ?? new Uint8Array()));
  assert.notDeepEqual(ofOne!.issuerDer, ofTwo!.issuerDer);
  for (const { path } of [agent, later]) {
    const target = { $case: 'spiffeId', value: td(path) } as const;
    await ask(server.admin(), RevocationService.revokeX509Svid, { target, reason: 1 });
  }
  const response = await fetch(`http://127.0.0.1:${server.running.telemetryPort}/crl`);
  const crl = assertValue(parseCrl(new Uint8Array(await response.arrayBuffer())));
  assert.equal(crl.size, 2);
  for (const leaf of [ofOne!, ofTwo!])
    assert.equal(crl.find(leaf.issuerDer, leaf.serial)?.reason, 1);
  await server.stop();
});

describe('signet svid revoke', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start();
  });
  after(() => fleet.stop());

  const revoke = (...args: string[]) => fleet.json('svid', 'revoke', ...args);
  const uri = (path: string) => `spiffe://${fleet.trustDomain}${path}`;

  test('an open stream gets another SVID, and the end where the entry is gone', async (context) => {
    const entryId = await fleet.register('/web');
    const { api } = workloadClient(context, fleet.workloadSocket);
    const reading = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    const first = serialOf((await reading.message(1)).svids[0]!.x509Svid);
    const answer = (await revoke('--serial', BigInt(first).toString(16))) as { count: number };
    assert.equal(answer.count, 1);
    const second = (await reading.message(2)).svids[0]!;
    assert.notEqual(serialOf(second.x509Svid), first);
    const listed = await fleet.cli(
      'svid',
      'revoke',
      '-spiffeID',
      uri('/web'),
      '--reason',
      'superseded',
    );
    assert.equal(listed.code, 0, listed.stderr);
    const table = await fleet.cli('svid', 'revocations');
    const hex = BigInt(first).toString(16).padStart(32, '0');
    assert.match(table.stdout, /^2 revoked X\.509-SVIDs\n\nSERIAL +REASON +SINCE +SPIFFE ID\n/);
    assert.match(table.stdout, new RegExp(`^${hex}  unspecified +\\d.*  ${uri('/web')}$`, 'm'));
    assert.ok(
      table.stdout.split('\n').every((line) => line.length <= 80),
      table.stdout,
    );
    const json = (await fleet.json('svid', 'revocations')) as { revoked: { id: object }[] };
    assert.equal(json.revoked.length, 2);
    assert.match(listed.stdout, /^Revoked 1 X\.509-SVID; 1 had been revoked before\n/);
    assert.match(listed.stdout, new RegExp(`${serialOf(second.x509Svid)} .*${uri('/web')}`));
    await reading.message(3);
    await fleet.cli('entry', 'delete', '--entry-id', entryId);
    assert.equal((await reading.ended()).code, 7);
    const found = (await fleet.json(
      'ledger',
      'search',
      '--spiffe-id',
      uri('/web'),
      '--data-dir',
      join(fleet.dir, 'server/data'),
    )) as unknown[];
    assert.ok(JSON.stringify(found).includes('"act":"revoke"'));
    assert.match(
      fleet.log('server'),
      /"audit":"\/signet\.revocation\.v1\.Revocation\/RevokeX509SVID"/,
    );
  });

  test('refuses by exit code what it is not told, or does not know', async () => {
    const usage = await fleet.cli('svid', 'revoke');
    assert.equal(usage.code, 2, usage.stderr);
    const both = await fleet.cli(
      'svid',
      'revoke',
      '--serial',
      '1',
      '--agent',
      uri('/spire/agent/x'),
    );
    assert.equal(both.code, 2);
    const unknown = await fleet.cli('svid', 'revoke', '--serial', 'abc');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /REVOCATION_NOT_FOUND/);
  });

  test('is refused while the database takes no write, and nothing is in force then', async (context) => {
    await fleet.register('/held');
    const { api } = workloadClient(context, fleet.workloadSocket);
    const reading = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    const sent = await reading.message(1);
    const mine = sent.svids.find(({ spiffeId }) => spiffeId === uri('/held'))!;
    const serial = serialOf(mine.x509Svid);
    // SQLite's write lock, as a backup or another program would take it.
    const holder = new DatabaseSync(join(fleet.dir, 'server/data/server.sqlite'));
    holder.exec('BEGIN IMMEDIATE');
    const refused = await fleet.cli('svid', 'revoke', '--serial', serial);
    assert.equal(refused.code, 1, refused.stdout);
    assert.match(refused.stderr, /STORE_/);
    holder.close();
    const { count } = (await revoke('--serial', serial)) as { count: number };
    assert.equal(count, 1);
    await reading.message(2);
    reading.cancel();
  });

  test('kill -9 between database and stream: the agent hears of it when it is back', async (context) => {
    await fleet.register('/crash');
    const { api } = workloadClient(context, fleet.workloadSocket);
    const reading = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    const first = serialOf((await reading.message(1)).svids[0]!.x509Svid);
    // A server on another port, which the agent does not know: what it writes down reaches nobody.
    await fleet.stopServer('SIGKILL');
    const config = join(fleet.dir, 'server.yaml');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace(`port: ${fleet.port}`, `port: ${await freePort()}`));
    await fleet.startServer();
    await revoke('--serial', first);
    await fleet.stopServer('SIGKILL');
    writeFileSync(config, text);
    assert.equal(reading.messages.length, 1);
    await fleet.startServer();
    const second = await reading.message(2);
    assert.notEqual(serialOf(second.svids[0]!.x509Svid), first);
    reading.cancel();
  });

  test('an agent that joined by a token ends when its own SVID is revoked, and says what to do', async (context) => {
    await fleet.register('/last');
    const { api } = workloadClient(context, fleet.workloadSocket);
    const reading = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    await reading.message(1);
    const agentId = await fleet.agentId();
    await revoke('--agent', agentId, '--reason', 'key-compromise');
    await reading.ended();
    assert.match(fleet.log('agent'), /AGENT_MUST_ATTEST/);
  });
});

describe('the CRL', () => {
  let fleet: Fleet;
  let port: number;
  before(async () => {
    port = await freePort();
    fleet = await Fleet.start({
      serverYaml: `crl: { enabled: true, workloadApi: true }\ntelemetry: { port: ${port} }`,
    });
  });
  after(() => fleet.stop());

  const served = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/crl`);
    assert.equal(response.headers.get('content-type'), 'application/pkix-crl');
    return assertValue(parseCrl(new Uint8Array(await response.arrayBuffer())));
  };

  test('goes to the telemetry port and into the Workload API, with each revocation', async (context) => {
    await fleet.register('/web');
    const first = await served();
    assert.deepEqual([first.size, first.indirect], [0, true]);
    const { api } = workloadClient(context, fleet.workloadSocket);
    const bundles = new Reading<X509BundlesResponse>(api.fetchX509Bundles({}, securityHeader()));
    const reading = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    const before = (await reading.message(1)).svids[0]!;
    const [leaf] = assertValue(parseCertificates(before.x509Svid));
    await fleet.json('svid', 'revoke', '--serial', leaf!.serialDecimal, '--reason', 'superseded');
    const second = await served();
    assert.ok(second.number > first.number);
    assert.equal(second.find(leaf!.issuerDer, leaf!.serial)?.reason, 4);
    for (let count = 2; ; count++) {
      const { crl, svids } = await reading.message(count);
      const given = assertValue(parseCrl(crl[0]!));
      const roots = assertValue(parseCertificates(svids[0]!.bundle));
      assertValue(trustCrl(given, { roots, atMs: Date.now() }));
      const listed = given.find(leaf!.issuerDer, leaf!.serial) !== undefined;
      if (listed && serialOf(svids[0]!.x509Svid) !== leaf!.serialDecimal) break;
    }
    let told = 1;
    while ((await bundles.message(told)).crl[0]?.equals(second.der) !== true) told++;
    reading.cancel();
    bundles.cancel();
  });

  test('is back after a restart, and taken from agents when it is turned off', async (context) => {
    const { api } = workloadClient(context, fleet.workloadSocket);
    const bundles = new Reading<X509BundlesResponse>(api.fetchX509Bundles({}, securityHeader()));
    assert.equal((await bundles.message(1)).crl.length, 1);
    await fleet.stopServer('SIGKILL');
    await fleet.startServer();
    // The number rises across restarts: what the agent gets is what the new process made.
    let told = 1;
    const size = async (): Promise<number> =>
      assertValue(parseCrl((await bundles.message(told)).crl[0]!)).size;
    while ((await size()) === 0 || bundles.messages.length < 2) told++;
    assert.equal(await size(), 1);
    await fleet.stopServer();
    const config = join(fleet.dir, 'server.yaml');
    writeFileSync(
      config,
      readFileSync(config, 'utf8').replace('workloadApi: true', 'workloadApi: false'),
    );
    await fleet.startServer();
    while ((await bundles.message(told)).crl.length > 0) told++;
    bundles.cancel();
  });
});
