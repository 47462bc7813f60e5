import assert from 'node:assert/strict';
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { commands } from '../../src/main/commands.ts';
import { backUp, passphraseFlags, restore } from '../support/backup.ts';
import { cli } from '../support/cli.ts';
import { ask, refusal, type TestAgent, TestServer, TRUST_DOMAIN } from '../support/server.ts';

// The steps of docs/recovery.md, in its order. Those about a KMS are in test/peers/recovery-kms.test.ts.

const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });

async function start(context: TestContext): Promise<TestServer> {
  const server = await TestServer.start();
  context.after(() => server.stop());
  return server;
}

/** Sets the data directory aside, as every recovery begins. */
async function setAside(server: TestServer): Promise<string> {
  await server.halt();
  const aside = join(server.dir, 'aside');
  renameSync(server.config.dataDir, aside);
  return aside;
}

/** Runs a command; fails with what it said. */
async function run(...argv: string[]): Promise<string> {
  const { code, out, err } = await cli(commands, argv);
  assert.equal(code, 0, `signet ${argv.join(' ')}: ${err}`);
  return out;
}

const onServer = (server: TestServer, ...argv: string[]) =>
  run(...argv, '--server-socket', server.config.adminSocket.path);

async function restored(server: TestServer, file: string, ...flags: string[]): Promise<void> {
  const done = await restore(file, server.config.dataDir, '--acknowledge', ...flags);
  assert.equal(done.code, 0, done.err);
}

async function isServed(server: TestServer, agent: TestAgent): Promise<boolean> {
  const client = await server.tcp(agent);
  const request = { outputMask: undefined };
  return ask(client, EntryService.getAuthorizedEntries, request).then(
    () => true,
    () => false,
  );
}

test('database lost: no server starts on the rest; what came after the backup is in the old ledger', async (context) => {
  const server = await start(context);
  const agent = await server.attest();
  const { file } = await backUp(server, 'nightly.backup');
  const thief = await server.attest();
  await ask(server.admin(), AgentService.banAgent, { id: td(agent.path) });
  await server.halt();
  rmSync(join(server.config.dataDir, 'server.sqlite'));
  await assert.rejects(server.restart(), /STORE_MISSING/);

  const aside = await setAside(server);
  await restored(server, file);
  cpSync(join(aside, 'keys'), join(server.config.dataDir, 'keys'), { recursive: true });
  await server.restart();
  const view = JSON.parse(await run('backup', 'verify', file, '-o', 'json'));
  const since = view.createdAt.replace(/\.\d+Z$/, 'Z');
  const found = JSON.parse(
    await run('ledger', 'search', '--data-dir', aside, '--since', since, '-o', 'json'),
  );
  const acts = found.filter(({ act }: { act?: string }) => act === 'ban');
  assert.deepEqual(
    acts.map(({ spiffeId }: { spiffeId: string }) => spiffeId),
    [`spiffe://${TRUST_DOMAIN}${agent.path}`],
  );
  assert.equal(await isServed(server, agent), true, 'the ban was after the backup');
  assert.equal(await isServed(server, thief), false, 'unknown to the backup: it attests again');
  await onServer(server, 'agent', 'ban', '--spiffe-id', acts[0].spiffeId);
  assert.equal(await isServed(server, agent), false);
});

test('disk lost, with the keys in the backup: agents notice nothing', async (context) => {
  const server = await start(context);
  const agent = await server.attest();
  const flags = passphraseFlags(server);
  const { file } = await backUp(server, 'nightly.backup', '--include-keys', ...flags);
  const bundle = await server.bundlePem();
  await server.halt();
  rmSync(server.config.dataDir, { recursive: true });
  await restored(server, file, ...flags);
  await server.restart();
  assert.equal(await server.bundlePem(), bundle);
  assert.equal(await isServed(server, agent), true);
});

test('disk lost, without the keys: agents need the new bundle, and are who they were with it', async (context) => {
  const server = await start(context);
  const agent = await server.attest();
  const { file } = await backUp(server, 'nightly.backup');
  const before = await server.bundlePem();
  await server.halt();
  rmSync(server.config.dataDir, { recursive: true });
  await restored(server, file);
  await server.restart();
  const now = await server.bundlePem();
  assert.ok(now.includes(before.trim()), 'what is out stays valid until it ends');
  assert.notEqual(now, before);
  const withOld = new Client(
    `127.0.0.1:${server.running.port}`,
    credentials.createSsl(Buffer.from(before), null, null, {
      checkServerIdentity: () => undefined,
    }),
    { 'grpc.ssl_target_name_override': 'server.test' },
  );
  context.after(() => withOld.close());
  const { message } = await refusal(
    ask(withOld, EntryService.getAuthorizedEntries, { outputMask: undefined }),
  );
  assert.match(message, /certificate|self.signed|issuer/i);
  assert.equal(await isServed(server, agent), true);
});

test('server stolen: another authority signs, and what the thief holds ends with the old one', async (context) => {
  const server = await start(context);
  const agent = await server.attest();
  const stolen = await server.bundlePem();
  const show = async () =>
    JSON.parse(await onServer(server, 'localauthority', 'x509', 'show', '-o', 'json'));
  const { active } = await show();
  const old = active.authorityId;
  const prepared = JSON.parse(
    await onServer(server, 'localauthority', 'x509', 'prepare', '-o', 'json'),
  );
  const next = prepared.preparedAuthority.authorityId;
  await onServer(server, 'localauthority', 'x509', 'activate', '--authority-id', next, '--force');
  await onServer(server, 'localauthority', 'x509', 'taint', '--authority-id', old);
  await onServer(server, 'localauthority', 'x509', 'revoke', '--authority-id', old);
  const bundle = await server.bundlePem();
  assert.equal(bundle.includes(stolen.trim()), false);
  assert.equal(await isServed(server, agent), false, 'signed by the old one: it attests again');
  const joined = await server.attest();
  assert.equal(await isServed(server, joined), true);
});

test('backup older than the ledger: put back by hand it is refused, restored it is another epoch', async (context) => {
  const server = await start(context);
  await server.attest();
  const flags = passphraseFlags(server);
  const { file, ledger } = await backUp(server, 'old.backup', '--include-keys', ...flags);
  await server.attest();
  const aside = await setAside(server);

  // By hand: the older ledger beside the newer head.
  await restored(server, file, ...flags);
  const epoch = ledger?.origin.split('/').at(-1) ?? '';
  const earlier = join(server.config.dataDir, 'earlier-ledgers', epoch);
  const wrong = join(server.dir, 'wrong');
  cpSync(aside, wrong, { recursive: true });
  rmSync(join(wrong, 'ledger'), { recursive: true });
  cpSync(join(earlier, 'ledger'), join(wrong, 'ledger'), { recursive: true });
  const whole = join(server.dir, 'whole');
  renameSync(server.config.dataDir, whole);
  renameSync(wrong, server.config.dataDir);
  await assert.rejects(server.restart(), /LEDGER_ROLLED_BACK/);

  // As it should be done: the newer ledger is kept, and is a growth of the one in the backup (I9).
  rmSync(server.config.dataDir, { recursive: true });
  renameSync(whole, server.config.dataDir);
  await server.restart();
  const kept = join(server.dir, 'checkpoint');
  writeFileSync(kept, readFileSync(join(earlier, 'ledger-head')));
  await run('ledger', 'verify', '--data-dir', aside, '--checkpoint', kept);
  assert.equal(await isServed(server, await server.attest()), true);
});
