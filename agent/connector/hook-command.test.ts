import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { Result } from '../../src/base/result.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { soon } from '../../test/support/processes.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { hooksSchema } from './hook-settings.ts';
import { Hooks, runHook } from './hooks.ts';

const sh = (script: string, ...args: string[]) => ['/bin/sh', '-c', script, 'sh', ...args];

const problem = (result: Result<unknown>): string => (result.ok ? '' : result.error.message);

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // A zombie has ended too; who adopts it may take its time.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

async function pidIn(path: string): Promise<number> {
  await soon(async () => existsSync(path) && readFileSync(path, 'utf8').endsWith('\n'));
  return Number(readFileSync(path, 'utf8'));
}

describe('the command of a hook', () => {
  test('has ended when it ends, whatever it left in the background', async (context) => {
    const pid = join(testFolder(context), 'pid');
    const command = sh('sleep 600 & echo $! >"$1"; echo done', pid);
    assert.equal(assertValue(await runHook({ timeout: 60, command }, 'reload', {})), 'done\n');
    process.kill(await pidIn(pid), 'SIGKILL');
  });

  test('that takes too long is killed with all that it has started', async (context) => {
    const pid = join(testFolder(context), 'pid');
    const command = sh('sleep 600 & echo $! >"$1"; sleep 600', pid);
    // A busy machine may not have come to its first line within a second.
    for (let timeout = 1; !(existsSync(pid) && readFileSync(pid, 'utf8') !== ''); timeout *= 3) {
      const refused = await runHook({ timeout, command }, 'reload', {});
      assertRefused(refused, 'COMPANION_HOOK');
      assert.match(problem(refused), new RegExp(`took longer than ${timeout} s`));
      assert.ok(timeout < 60, 'it never ran');
    }
    const child = await pidIn(pid);
    await soon(async () => !isAlive(child));
  });

  test('is told nothing that would end it or the companion', async () => {
    const command = ['/usr/bin/printenv', 'SIGNET_REASON'];
    const told = async (text: string) =>
      assertValue(await runHook({ timeout: 60, command }, 'drain', { SIGNET_REASON: text }));
    assert.equal(await told('a\0b\nX=1\u001b[2J'), 'a?b?X=1?[2J\n');
    assert.equal((await told('x'.repeat(4_000_000))).length, 1025);
  });

  test('that cannot be run has failed, and nothing else', async () => {
    for (const command of [['/no/such/program'], ['/etc/passwd'], ['/'], ['/bin/true\0']]) {
      assertRefused(await runHook({ timeout: 60, command }, 'reload', {}), 'COMPANION_HOOK');
    }
  });

  test('that prints without end is read to its end, and little of it kept', async () => {
    const command = sh('head -c 9000000 /dev/zero | tr "\\0" x');
    assert.equal(
      assertValue(await runHook({ timeout: 60, command }, 'diagnostics', {})).length,
      65_536,
    );
  });

  test('that paints on a terminal is told without its colours, and cut', async () => {
    const command = sh('printf "\\033[31mno%0300d" 0 >&2; exit 3');
    const refused = await runHook({ timeout: 60, command }, 'reload', {});
    assertRefused(refused, 'COMPANION_HOOK');
    assert.match(problem(refused), /ended with 3: \?\[31mno0{190,200}$/);
  });
});

describe('hooks', () => {
  function hooks(context: { after(end: () => void): void }, command: string[]) {
    const runs: (string | undefined)[] = [];
    const clock = new ManualClock(0);
    const one = new Hooks({
      settings: hooksSchema.parse({ upgrade: { command } }),
      clock,
      random: seededRandom(1),
      log: createLogger({ level: 'silent' }),
      onRun: (_event, problem) => runs.push(problem),
    });
    context.after(() => one.close());
    return { one, runs, clock };
  }

  test('a thousand askings while it runs are one more run, with the last facts', async (context) => {
    const folder = testFolder(context);
    const [gate, log] = [join(folder, 'gate'), join(folder, 'log')];
    const { one, runs } = hooks(
      context,
      sh('echo $SIGNET_VERSION >>"$1"; while [ ! -e "$2" ]; do sleep 0.02; done', log, gate),
    );
    const asked = [one.ask('upgrade', { SIGNET_VERSION: 'first' })];
    await soon(async () => existsSync(log));
    for (let at = 1; at <= 1000; at++) asked.push(one.ask('upgrade', { SIGNET_VERSION: `${at}` }));
    writeFileSync(gate, '');
    for (const outcome of await Promise.all(asked)) assertValue(outcome);
    assert.equal(readFileSync(log, 'utf8'), 'first\n1000\n');
    assert.deepEqual(runs, [undefined, undefined]);
  });

  test('one that failed is tried again with the facts it had, until it goes well', async (context) => {
    const folder = testFolder(context);
    const [gate, log] = [join(folder, 'gate'), join(folder, 'log')];
    const { one, runs, clock } = hooks(
      context,
      sh('echo $SIGNET_VERSION >>"$1"; test -e "$2"', log, gate),
    );
    assertRefused(await one.ask('upgrade', { SIGNET_VERSION: 'v' }), 'COMPANION_HOOK');
    writeFileSync(gate, '');
    clock.advance(60_000);
    await soon(async () => runs.length === 2);
    assert.equal(readFileSync(log, 'utf8'), 'v\nv\n');
    assert.equal(runs[1], undefined);
  });

  test('closed they end what runs, and nothing is tried again', async (context) => {
    const pid = join(testFolder(context), 'pid');
    const { one, runs, clock } = hooks(context, sh('echo $$ >"$1"; sleep 600', pid));
    const asked = [one.ask('upgrade'), one.ask('upgrade')];
    const child = await pidIn(pid);
    one.close();
    for (const outcome of await Promise.all(asked)) assertRefused(outcome, 'COMPANION_HOOK');
    await soon(async () => !isAlive(child));
    clock.advance(600_000);
    assert.deepEqual(runs, []);
  });
});
