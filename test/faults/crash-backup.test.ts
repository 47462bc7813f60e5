import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyBackup } from '../../src/backup/check-backup.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { startServer } from '../../src/server/server.ts';
import { backUp, codeOf, restore } from '../support/backup.ts';
import { SIGNET } from '../support/dev.ts';
import { ask, TestServer, TRUST_DOMAIN, testConfig, wireEntry } from '../support/server.ts';
import { ROUNDS } from './field.ts';
import { between, runSeed } from './seed.ts';

const { seed, random } = runSeed('kill -9 of backup and restore');

const quiet = { log: createLogger({ level: 'silent' }) };

/** Entries that make a database worth some milliseconds of copying. */
const ENTRIES = 4000;

async function serverWithEntries(): Promise<TestServer> {
  const server = await TestServer.start();
  for (let from = 0; from < ENTRIES; from += 1000) {
    const entries = Array.from({ length: 1000 }, (_, at) =>
      wireEntry({ spiffeId: { trustDomain: TRUST_DOMAIN, path: `/w/${from + at}` } }),
    );
    await ask(server.admin(), EntryService.batchCreateEntry, { entries, outputMask: undefined });
  }
  return server;
}

/** Runs a command and kills it after a while, unless it ended before; answers how long it ran. */
async function killedAfter(ms: number, argv: readonly string[]): Promise<boolean> {
  const child = spawn(SIGNET, argv, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await Promise.race([ended, sleep(ms, undefined, { ref: false })]);
  child.kill('SIGKILL');
  await ended;
  return child.signalCode === 'SIGKILL';
}

/** Runs a command whole and answers how long that takes here, in milliseconds. */
async function wholeRun(argv: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  const killed = await killedAfter(60_000, argv);
  assert.equal(killed, false);
  return performance.now() - startedMs;
}

const stateFlags = (dataDir: string) => ['--data-dir', dataDir, '--trust-domain', TRUST_DOMAIN];

test(`a backup that is killed ${ROUNDS} times is whole or not there`, async (context) => {
  const server = await serverWithEntries();
  context.after(() => server.stop());
  const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const output = join(folder, 'state.backup');
  const create = ['backup', 'create', '--output', output, ...stateFlags(server.config.dataDir)];
  // The first run of a changed checkout bundles; the second tells how long it takes.
  await wholeRun(create);
  rmSync(output);
  const wholeMs = await wholeRun(create);
  let kills = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    rmSync(output, { force: true });
    if (await killedAfter(between(random, wholeMs / 2, wholeMs * 1.1), create)) kills += 1;
    if (!existsSync(output)) continue;
    const verified = await verifyBackup(output, undefined);
    assert.ok(verified.ok, `seed ${seed}`);
  }
  rmSync(output, { force: true });
  await wholeRun(create);
  assert.deepEqual(
    readdirSync(folder),
    ['state.backup'],
    `what was killed is cleared, seed ${seed}`,
  );
  context.diagnostic(`${kills} of ${ROUNDS} were killed within ${Math.round(wholeMs)} ms`);
  assert.ok(kills > 0);
});

test(`a restore that is killed ${ROUNDS} times is whole, or no server starts on it`, async (context) => {
  const server = await serverWithEntries();
  context.after(() => server.stop());
  const { file } = await backUp(server, 'state.backup');
  const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const config = testConfig(folder);
  const { dataDir } = config;
  const command = ['backup', 'restore', file, '--acknowledge', ...stateFlags(dataDir)];
  const wholeMs = await wholeRun(command);
  const outcomes = { nothing: 0, refused: 0, whole: 0 };
  for (let round = 1; round <= ROUNDS; round++) {
    rmSync(dataDir, { recursive: true, force: true });
    await killedAfter(between(random, wholeMs / 2, wholeMs * 1.1), command);
    if (!existsSync(join(dataDir, 'server.sqlite')) && !marked(dataDir)) {
      outcomes.nothing += 1;
      continue;
    }
    if (marked(dataDir)) {
      const started = await startServer(config, quiet);
      assert.equal(!started.ok && started.error.code, 'RESTORE_UNFINISHED', `seed ${seed}`);
      outcomes.refused += 1;
    } else {
      outcomes.whole += 1;
      assert.equal(
        codeOf(await restore(file, dataDir, '--acknowledge')),
        'BACKUP_TARGET_NOT_EMPTY',
      );
    }
  }
  context.diagnostic(`${JSON.stringify(outcomes)} within ${Math.round(wholeMs)} ms`);
  await checkLeftover(config.dataDir, file);
  const started = await startServer(config, quiet);
  assert.ok(started.ok, started.ok ? '' : started.error.message);
  assert.ok(started.value.port > 0);
  await started.value.stop('test');
});

const marked = (dataDir: string) => existsSync(join(dataDir, 'restore-unfinished'));

/** What an interrupted restore left, made here so that every run has it, is cleared by the next. */
async function checkLeftover(dataDir: string, file: string): Promise<void> {
  rmSync(dataDir, { recursive: true, force: true });
  const made = await restore(file, dataDir, '--acknowledge');
  assert.equal(made.code, 0, made.err);
  writeFileSync(join(dataDir, 'restore-unfinished'), '');
  writeFileSync(join(dataDir, 'server.sqlite'), 'half');
  const again = await restore(file, dataDir, '--acknowledge');
  assert.equal(again.code, 0, again.err);
  assert.equal(marked(dataDir), false);
}
