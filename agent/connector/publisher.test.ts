import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { belongTogether, message, scrape, server, session } from '../../test/support/companion.ts';
import { companionSettings, runCompanion } from '../../test/support/companion-server.ts';
import { soon } from '../../test/support/processes.ts';

// The server here is scripted, not ours: what the real one says is in test/integration/companion.test.ts.

describe('outputs and hooks that fail', () => {
  test('a hook that fails degrades the connector, is counted, and tried again', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const flag = join(one.folder, 'works');
    one.settings.hooks = { reload: { command: ['/usr/bin/test', '-e', flag] } };
    const companion = await runCompanion(context, one);
    const first = await session(of, 1);
    const { reason } = await message(first, 'heartbeat', ({ health }) => health === 2);
    assert.match(reason, /hook reload/);
    assert.match(await scrape(companion), /hook_runs_total\{hook="reload",outcome="failed"\}/);
    writeFileSync(flag, '');
    await message(first, 'heartbeat', ({ health }) => {
      const last = first.received.findLast(({ $case }) => $case === 'heartbeat');
      return health === 1 && last?.$case === 'heartbeat' && last.value.health === 1;
    });
  });

  test('a folder that cannot be written to degrades it, and is tried again', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    // Root may write anywhere; a file in the folder's place stops it too.
    writeFileSync(join(one.folder, 'out'), 'in the way');
    const companion = await runCompanion(context, one);
    const first = await session(of, 1);
    await message(first, 'heartbeat', ({ reason }) =>
      /certificates: .*out cannot be written/.test(reason),
    );
    assert.equal(companion.health.report('ready').ok, false);
    rmSync(join(one.folder, 'out'));
    await soon(async () => companion.health.report('ready').ok);
    assert.ok(belongTogether(one.folder));
  });
});
