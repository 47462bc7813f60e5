import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AUTHORITY_KINDS, decodeJournal } from '../../src/authority/journal.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import type { X509SVIDResponse } from '../../src/gen/workload.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { readHead, readVerifier } from '../../src/ledger/reader.ts';
import { searchRecords } from '../../src/ledger/search.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { lives } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { assertValue } from '../support/refused.ts';
import { ask, assertStatus, attest } from '../support/server.ts';
import { Reading, securityHeader, workloadClient } from '../support/workload-api.ts';
import { makeCsr } from '../support/x509.ts';
import { Clients, NO_RATE_LIMITS, ROUNDS } from './field.ts';
import { LOAD_SELECTORS, Load } from './load.ts';
import { between, runSeed } from './seed.ts';

const { seed, random } = runSeed('kill -9 of the server');

const has = (path: string) => (response: X509SVIDResponse) =>
  response.svids.some(({ spiffeId }) => spiffeId.endsWith(path));

/** Waits until a stream has a message that fits; fails when it ends before. */
async function until<T>(stream: Reading<T>, fits: (message: T) => boolean): Promise<T> {
  for (let index = 0; ; index++) {
    const message = await stream.message(index + 1);
    if (fits(message)) return message;
  }
}

/** Rounds with a real agent: its waits between attempts double while the server keeps dying. */
const AGENT_ROUNDS = 3;

/** How many authorities of each kind the database of a killed server has as active. */
function activeAuthorities(dataDir: string): Record<string, number> {
  const copy = mkdtempSync(join(tmpdir(), 'sgn-'));
  try {
    for (const name of readdirSync(dataDir).filter((file) => /sqlite(-wal)?$/.test(file))) {
      copyFileSync(join(dataDir, name), join(copy, name));
    }
    const database = new DatabaseSync(join(copy, 'server.sqlite'));
    const row = database.prepare('SELECT journal FROM authorities').get();
    database.close();
    const entries = assertValue(decodeJournal(row?.journal as Uint8Array | undefined));
    return Object.fromEntries(
      AUTHORITY_KINDS.map((kind) => [
        kind,
        entries.filter((entry) => entry.kind === kind && entry.state === 'active').length,
      ]),
    );
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

async function allEntries(clients: Clients): Promise<Map<string, Entry>> {
  const found = new Map<string, Entry>();
  const admin = clients.admin();
  let pageToken = '';
  do {
    const request = { filter: undefined, outputMask: undefined, pageSize: 500, pageToken };
    const page = await ask(admin, EntryService.listEntries, request);
    for (const entry of page.entries) found.set(entry.id, entry);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return found;
}

/** What was answered is there, what was not is whole or absent. */
async function checkEntries(clients: Clients, load: Load): Promise<void> {
  const found = await allEntries(clients);
  for (const [id, path] of load.entries) {
    assert.equal(found.get(id)?.spiffeId?.path, path, `${path} was answered, seed ${seed}`);
  }
  for (const id of load.deleted) assert.ok(!found.has(id), `${id} was deleted, seed ${seed}`);
  for (const { spiffeId, selectors } of found.values()) {
    if (spiffeId?.path.startsWith('/load/') !== true) continue;
    assert.equal(selectors.length, LOAD_SELECTORS.length, `${spiffeId.path}, seed ${seed}`);
  }
}

/** Who was told to be an agent is one; the token that made it makes no other. */
async function checkAgents(clients: Clients, load: Load): Promise<void> {
  for (const agent of load.agents) {
    const id = { trustDomain: 'example.org', path: agent.path };
    await ask(clients.admin(), AgentService.getAgent, { id, outputMask: undefined });
  }
  for (const agent of load.agents.slice(-2)) {
    const client = await clients.tcp(agent);
    await ask(client, EntryService.getAuthorizedEntries, { outputMask: undefined });
    const again = attest(await clients.tcp(), agent.token, makeCsr());
    await assertStatus(again, 'JOIN_TOKEN_UNKNOWN');
  }
}

test(`A1 F1 killed ${ROUNDS} times under load, it keeps all that it answered`, async (context) => {
  const fleet = await Fleet.start({ serverYaml: NO_RATE_LIMITS });
  context.after(() => fleet.stop());
  await fleet.register('/before');
  const { api } = workloadClient(context, fleet.workloadSocket);
  const stream = new Reading(api.fetchX509Svid({}, securityHeader()));
  await until(stream, has('/before'));
  const { agentPid } = fleet;
  const agentId = await fleet.agentId();
  const load = new Load();
  for (let round = 1; round <= ROUNDS; round++) {
    const clients = new Clients(fleet);
    const { promise: issued, resolve: onIssued } = Promise.withResolvers<void>();
    const working = load.run(clients, onIssued);
    // Every other kill waits for SVIDs: on a slow machine too there is something to be kept.
    if (round % 2 === 0) await Promise.race([issued, working]);
    await sleep(between(random, 50, 700));
    await fleet.stopServer('SIGKILL');
    await working;
    clients.close();
    assert.deepEqual(activeAuthorities(join(fleet.dir, 'server/data')), { x509: 1, jwt: 1 });
    await fleet.startServer();
    const after = new Clients(fleet);
    await checkEntries(after, load);
    await checkAgents(after, load);
    after.close();
    if (round <= AGENT_ROUNDS) {
      // The stream of a workload has seen nothing of it, and hears what is new.
      assert.equal(fleet.agentPid, agentPid);
      assert.ok(lives(agentPid));
      // The last of two flags counts: the load has made other agents meanwhile.
      await fleet.register(`/after-${round}`, '--parent-id', agentId);
      await until(stream, has(`/after-${round}`));
      assert.equal(stream.end, undefined);
    }
    if (round === AGENT_ROUNDS) await fleet.stopAgent();
  }
  stream.cancel();
  context.diagnostic(
    `${ROUNDS} kills: ${load.entries.size} entries, ${load.deleted.size} deletions, ` +
      `${load.agents.length} agents, ${load.issued.length} SVIDs were answered and kept`,
  );
  assert.ok(load.entries.size > 0 && load.agents.length > 0 && load.issued.length > 0);
  await fleet.stopServer();
  await checkLedger(join(fleet.dir, 'server/data'), load);
});

/** Every certificate that anybody was answered is on record, with the very bytes signed (I2). */
async function checkLedger(dataDir: string, load: Load): Promise<void> {
  const files = new FileTree(dataDir);
  const head = assertValue(await readHead(files, assertValue(await readVerifier(files))));
  assertValue(await auditLedger(files, head));
  const recorded = new Set<string | undefined>();
  const searched = await searchRecords(files, { first: 0, size: head.size }, {}, ({ record }) => {
    recorded.add(record.tbsHash);
    return true;
  });
  assertValue(searched);
  const answered = [...load.issued, ...load.agents.flatMap(({ chain }) => chain[0] ?? [])];
  for (const der of answered) {
    assert.ok(recorded.has(hash('sha256', assertValue(parseCertificate(der)).tbs)));
  }
}

test(`A1 killed ${ROUNDS} times while its authorities rotate, it has one active of each kind`, async (context) => {
  const fleet = await Fleet.start({
    serverOnly: true,
    caTtl: '6s',
    x509SvidTtl: '1s',
    jwtTtl: '1s',
    serverYaml: NO_RATE_LIMITS,
  });
  context.after(() => fleet.stop());
  const seen = new Set<string>();
  for (let round = 1; round <= ROUNDS; round++) {
    await sleep(between(random, 0, 2500));
    await fleet.stopServer('SIGKILL');
    assert.deepEqual(activeAuthorities(join(fleet.dir, 'server/data')), { x509: 1, jwt: 1 });
    await fleet.startServer();
    const clients = new Clients(fleet);
    const admin = clients.admin();
    const uris = [`spiffe://${fleet.trustDomain}/minted`];
    const csr = Buffer.from(makeCsr({ uris }));
    await ask(admin, SVIDService.mintX509Svid, { csr, ttl: 1 });
    const id = { trustDomain: fleet.trustDomain, path: '/minted' };
    await ask(admin, SVIDService.mintJwtsvid, { id, audience: ['x'], ttl: 1 });
    const bundle = await ask(admin, BundleService.getBundle, { outputMask: undefined });
    for (const { asn1 } of bundle.x509Authorities) seen.add(asn1.toString('base64'));
    assert.ok(bundle.jwtAuthorities.length >= 1);
    clients.close();
  }
  context.diagnostic(`${ROUNDS} kills over ${seen.size} X.509 authorities`);
});
