import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { hooksSchema } from './hook-settings.ts';
import { runHook } from './hooks.ts';

const base = { timeout: 10 };

describe('a hook', () => {
  test('has the facts in its environment, and no secret of ours', async (context) => {
    process.env.SIGNET_PROVISIONING_KEY = 'a secret';
    context.after(() => delete process.env.SIGNET_PROVISIONING_KEY);
    const out = assertValue(
      await runHook({ ...base, command: ['/usr/bin/env'] }, 'reload', {
        SIGNET_SERIAL_NUMBER: '7',
      }),
    );
    assert.match(out, /^SIGNET_EVENT=reload$/m);
    assert.match(out, /^SIGNET_SERIAL_NUMBER=7$/m);
    assert.doesNotMatch(out, /a secret/);
  });

  test('runs no shell: arguments are what they are', async () => {
    const command = ['/usr/bin/printf', '%s', '$(id); `id` | cat'];
    assert.equal(
      assertValue(await runHook({ ...base, command }, 'reload', {})),
      '$(id); `id` | cat',
    );
  });

  test('that takes too long is ended', async () => {
    const command = ['/usr/bin/sleep', '600'];
    assertRefused(await runHook({ timeout: 0.1, command }, 'reload', {}), 'COMPANION_HOOK');
  });

  test('sends its signal to the process of a pid file', async (context) => {
    const child = spawn('/usr/bin/sleep', ['600']);
    context.after(() => child.kill('SIGKILL'));
    const pidPath = join(testFolder(context), 'pid');
    writeFileSync(pidPath, `${child.pid}\n`);
    const ended = once(child, 'exit');
    assertValue(await runHook({ ...base, signal: 'SIGUSR1', pidPath }, 'reload', {}));
    assert.deepEqual(await ended, [null, 'SIGUSR1']);
  });

  test('a pid file that is not there is said to be missing, not to be wrong', async (context) => {
    const pidPath = join(testFolder(context), 'pid');
    const missing = await runHook({ ...base, signal: 'SIGUSR1', pidPath }, 'reload', {});
    assertRefused(missing, 'COMPANION_HOOK');
    assert.match(missing.ok ? '' : missing.error.message, /does not exist$/);
  });

  for (const text of ['0', '-1', '-5', '1.5', '', 'x', '99999999999', '1 2']) {
    test(`a pid file with "${text}" reaches nobody`, async (context) => {
      const pidPath = join(testFolder(context), 'pid');
      writeFileSync(pidPath, text);
      assertRefused(
        await runHook({ ...base, signal: 'SIGUSR1', pidPath }, 'reload', {}),
        'COMPANION_HOOK',
      );
    });
  }

  test('names a process that does not run: refused', async () => {
    const spec = { ...base, signal: 'SIGHUP', processName: 'no-such-proc' } as const;
    assertRefused(await runHook(spec, 'reload', {}), 'COMPANION_HOOK');
  });
});

test('settings of hooks that mean nothing are refused', () => {
  for (const reload of [
    {},
    { command: ['relative'] },
    { command: [] },
    { command: ['/a'], signal: 'SIGHUP' },
    { signal: 'SIGHUP' },
    { signal: 'SIGKILL', pidPath: '/p' },
    { signal: 'SIGHUP', pidPath: '/p', processName: 'x' },
    { command: ['/a'], pidPath: '/p' },
    { command: ['/a'], timeout: '0s' },
  ]) {
    assert.equal(hooksSchema.safeParse({ reload }).success, false, JSON.stringify(reload));
  }
  assert.ok(hooksSchema.safeParse({ reload: { signal: 'SIGHUP', processName: 'x' } }).success);
});
