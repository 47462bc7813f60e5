import assert from 'node:assert/strict';
import { execPath, getuid } from 'node:process';
import { test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { run } from '../support/processes.ts';

const ANOTHER_UID = 65_534;

test('E3 a process that gives up its uid loses the identities of that uid on its open connection', async (context) => {
  if (getuid?.() !== 0) return context.skip('only root can take on another uid');
  const fleet = await Fleet.start();
  context.after(() => fleet.stop());
  await fleet.register('/of-root');
  const caller = ['test/support/changing-caller.ts', fleet.workloadSocket, String(ANOTHER_UID)];
  const { stdout, stderr } = await run(execPath, caller);
  assert.notEqual(stdout, '', stderr);
  // Unavailable: what the kernel says of the process is not what it was when it connected.
  assert.deepEqual(JSON.parse(stdout), {
    before: 'spiffe://example.org/of-root',
    after: 'status 14',
    uid: ANOTHER_UID,
  });
});
