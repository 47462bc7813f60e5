import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { cpSync, existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';
import { toHex } from '../../src/base/bytes.ts';
import { unwrap } from '../../src/base/result.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { openCheckpoint } from '../../src/ledger/checkpoint.ts';
import { splitEntries } from '../../src/ledger/frame.ts';
import { Frontier } from '../../src/ledger/frontier.ts';
import { hashLeaf } from '../../src/ledger/hash.ts';
import { readVerifier } from '../../src/ledger/reader.ts';
import { decodeRecord, type LedgerRecord } from '../../src/ledger/record.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { ask, type TestAgent, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';

const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });
const uri = (path: string) => `spiffe://${TRUST_DOMAIN}${path}`;

let server: TestServer;
let agent: TestAgent;
let client: Client;
let entryId: string;

before(async () => {
  server = await TestServer.start({
    telemetry: { port: 0 },
    ledger: { publish: true, checkpointInterval: '100ms' },
  });
  agent = await server.attest();
  client = await server.tcp(agent);
  entryId = (await server.register({ spiffeId: td('/web'), parentId: td(agent.path) })).id;
});

after(() => server.stop());

async function page(path: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${server.running.telemetryPort}${path}`);
}

/** Every record that the telemetry port shows, checked against the checkpoint that it shows. */
async function published(enough: (records: readonly LedgerRecord[]) => boolean) {
  const verifier = unwrap(await readVerifier(new FileTree(server.config.dataDir)));
  for (;;) {
    const note = new Uint8Array(await (await page('/ledger/checkpoint')).arrayBuffer());
    const { size, root } = unwrap(openCheckpoint(note, verifier));
    const tile = await page(`/ledger/tile/entries/000${size === 256 ? '' : `.p/${size}`}`);
    const entries = splitEntries(new Uint8Array(await tile.arrayBuffer())) ?? [];
    const tree = new Frontier();
    for (const entry of entries) tree.push(hashLeaf(entry));
    assert.deepEqual(Buffer.from(tree.root()), Buffer.from(root));
    const records = entries.map((entry) => unwrap(decodeRecord(entry)));
    if (enough(records)) return records;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('the ledger of a server', () => {
  test('has a record of everything signed, with the hash of what was signed', async () => {
    const csrs = [makeCsr(), makeCsr()].map((csr) => ({ entryId, csr: Buffer.from(csr) }));
    const { results } = await ask(client, SVIDService.batchNewX509Svid, { params: csrs });
    const leaves = results.map(({ svid }) => unwrap(parseCertificate(svid!.certChain[0]!)));
    const jwt = await ask(client, SVIDService.newJwtsvid, { entryId, audience: ['db'] });
    const records = await published((all) => all.some(({ kind }) => kind === 'jwt'));
    for (const leaf of leaves) {
      const tbsHash = hash('sha256', leaf.tbs);
      const record = records.find((each) => each.tbsHash === tbsHash);
      assert.equal(record?.kind, 'x509');
      assert.equal(record.spiffeId, uri('/web'));
      assert.equal(record.entryId, entryId);
      assert.equal(record.agentId, uri(agent.path));
      assert.equal(record.notAfter, leaf.notAfterMs / 1000);
    }
    const input = jwt.svid?.token.split('.').slice(0, 2).join('.') ?? '';
    const token = records.find(({ kind }) => kind === 'jwt');
    assert.equal(token?.tbsHash, hash('sha256', input));
    const [ca] = records;
    assert.equal(ca?.kind, 'ca');
    assert.equal(ca.spiffeId, uri(''));
    const own = unwrap(parseCertificate(agent.chain[0]!));
    const attested = records.find(({ kind }) => kind === 'agent');
    assert.equal(attested?.spiffeId, uri(agent.path));
    assert.equal(attested.tbsHash, toHex(hash('sha256', own.tbs, 'buffer')));
  });

  test('has a record of every ban and eviction, with who did it', async () => {
    for (const act of ['ban', 'evict'] as const) {
      const victim = await server.attest();
      const method = act === 'ban' ? AgentService.banAgent : AgentService.deleteAgent;
      await ask(server.admin(), method, { id: td(victim.path) });
      const records = await published((all) => all.some((each) => each.act === act));
      const record = records.find((each) => each.act === act);
      assert.equal(record?.spiffeId, uri(victim.path));
      assert.equal(record.requestedBy, `local:${process.getuid?.()}`);
    }
  });

  test('is served as static files are, and nothing else of it', async () => {
    assert.equal((await page('/ledger/checkpoint')).status, 200);
    const hashes = await page('/ledger/tile/0/000.p/3');
    assert.equal((await hashes.arrayBuffer()).byteLength, 96);
    for (const path of [
      '/ledger/',
      '/ledger/tile/0/000',
      '/ledger/tile/0/001.p/1',
      '/ledger/tile/9/000.p/1',
      '/ledger/../ledger-key',
      '/ledger/tile/0/%2e%2e/ledger-key',
    ]) {
      assert.equal((await page(path)).status, 404, path);
    }
  });

  test('goes on after a restart; an older copy of it refuses the start (A11)', async () => {
    const { dataDir } = server.config;
    const copy = join(server.dir, 'older');
    await server.restart();
    await server.halt();
    cpSync(join(dataDir, 'ledger'), copy, { recursive: true });
    await server.restart();
    await server.halt();
    renameSync(join(dataDir, 'ledger'), join(server.dir, 'newer'));
    cpSync(copy, join(dataDir, 'ledger'), { recursive: true });
    await assert.rejects(server.restart(), /LEDGER_ROLLED_BACK/);
    rmSync(join(dataDir, 'ledger'), { recursive: true });
    await assert.rejects(server.restart(), /LEDGER_ROLLED_BACK/);
    renameSync(join(server.dir, 'newer'), join(dataDir, 'ledger'));
    await server.restart();
  });
});

test('a server without a ledger signs, and keeps none', async () => {
  const plain = await TestServer.start({ ledger: { enabled: false } });
  await plain.attest();
  assert.equal(existsSync(join(plain.config.dataDir, 'ledger')), false);
  await plain.stop();
});
