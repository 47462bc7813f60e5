import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { AgentSyncService } from '../../src/gen/signet/agent/v1/agent.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { eventually } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { ask, assertStatus, attest, open, refusal, type TestAgent } from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';
import { Clients } from './field.ts';

/** A server alone, whose database the test can hold so that no write goes through. */
class Field {
  readonly fleet: Fleet;
  readonly clients: Clients;
  #holder: DatabaseSync | undefined;

  private constructor(fleet: Fleet) {
    this.fleet = fleet;
    this.clients = new Clients(fleet);
  }

  static async open(context: TestContext): Promise<Field> {
    const field = new Field(await Fleet.start({ serverOnly: true }));
    context.after(async () => {
      field.release();
      field.clients.close();
      await field.fleet.stop();
    });
    return field;
  }

  get kept(): string {
    const path = join(this.fleet.dir, 'server/data/local-bans');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Takes SQLite's write lock, as a backup or another program would. */
  hold(): void {
    this.#holder = new DatabaseSync(join(this.fleet.dir, 'server/data/server.sqlite'));
    this.#holder.exec('BEGIN IMMEDIATE');
  }

  release(): void {
    this.#holder?.close();
    this.#holder = undefined;
  }

  /** What the database itself says of an agent. */
  stored(agent: TestAgent): unknown {
    const reader = new DatabaseSync(join(this.fleet.dir, 'server/data/server.sqlite'), {
      readOnly: true,
    });
    const row = reader.prepare('SELECT banned FROM agents WHERE id LIKE ?').get(`%${agent.path}`);
    reader.close();
    return row?.banned;
  }

  ban(agent: TestAgent) {
    return this.fleet.cli('agent', 'ban', '--spiffe-id', `spiffe://example.org${agent.path}`);
  }

  /** Every call of an agent is refused as a banned one's. */
  async assertBanned(agent: TestAgent): Promise<void> {
    const client = await this.clients.tcp(agent);
    const csr = Buffer.from(makeCsr());
    const noMask = { outputMask: undefined };
    const banned = (call: Promise<unknown>) => assertStatus(call, 'AGENT_BANNED');
    await banned(ask(client, AgentService.renewAgent, { params: { csr } }));
    await banned(ask(client, EntryService.getAuthorizedEntries, noMask));
    const params = [{ entryId: 'e', csr }];
    await banned(ask(client, SVIDService.batchNewX509Svid, { params }));
    for (const method of [EntryService.syncAuthorizedEntries, AgentSyncService.sync]) {
      const call = open(client, method as typeof AgentSyncService.sync);
      call.on('data', () => {});
      await banned(new Promise((_, reject) => call.on('error', reject)));
    }
    // Its token was used, so this is refused whatever the store says; never with an SVID.
    await refusal(attest(await this.clients.tcp(), agent.token, makeCsr()));
    await ask(client, BundleService.getBundle, noMask);
  }
}

test('a ban while the database takes no write: in force, told to the operator, written later', async (context) => {
  const field = await Field.open(context);
  const { fleet, clients } = field;
  const agent = await clients.attest();
  const other = await clients.attest();
  const stream = open(await clients.tcp(agent), AgentSyncService.sync);
  const ended = new Promise((_, reject) => stream.on('error', reject));
  // It comes while the ban is awaited.
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

  field.hold();
  const { code, stdout, stderr } = await field.ban(agent);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^Banned /);
  assert.match(stderr, /^note: the database does not answer: .* on this server only/m);
  await assertStatus(ended, 'AGENT_BANNED');
  await field.assertBanned(agent);
  assert.match(field.kept, new RegExp(`^spiffe://example.org${agent.path}$`, 'm'));
  assert.equal(field.stored(agent), 0);
  assert.match(fleet.log('server'), /"audit":.*BanAgent.*"reach":"here"/);
  await ask(await clients.tcp(other), EntryService.getAuthorizedEntries, { outputMask: undefined });

  field.release();
  await eventually(() => field.stored(agent) === 1, 60_000);
  await eventually(() => !field.kept.includes(agent.path), 60_000);
  await field.assertBanned(agent);
  const again = await field.ban(agent);
  assert.equal(again.code, 0);
  assert.doesNotMatch(again.stderr, /note:/);
});

test('kill -9 between the file and the database: the ban holds from the first moment on', async (context) => {
  const field = await Field.open(context);
  const { fleet, clients } = field;
  const agent = await clients.attest();
  field.hold();
  assert.equal((await field.ban(agent)).code, 0);
  await fleet.stopServer('SIGKILL');
  assert.equal(field.stored(agent), 0);
  assert.ok(field.kept.includes(agent.path));
  // The database takes no write yet: what was loaded says that the agent is in good standing.
  await fleet.startServer();
  clients.close();
  await field.assertBanned(agent);
  assert.equal(field.stored(agent), 0);
  await fleet.stopServer('SIGKILL');
  field.release();
  await fleet.startServer();
  clients.close();
  await field.assertBanned(agent);
  await eventually(() => field.stored(agent) === 1 && !field.kept.includes(agent.path), 60_000);
});

test('a server whose file of bans is damaged does not start, and says what to do', async (context) => {
  const { fleet } = await Field.open(context);
  await fleet.stopServer();
  writeFileSync(join(fleet.dir, 'server/data/local-bans'), 'signet-local-bans 1\nspiffe://');
  await assert.rejects(fleet.startServer());
  assert.match(fleet.log('server'), /LOCAL_BANS_DAMAGED/);
});
