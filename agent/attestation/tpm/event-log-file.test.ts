import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MAX_EVENT_LOG_BYTES } from '../../../src/tpm/event-log.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { readEventLog } from './event-log-file.ts';

test('a file of the kernel, which says that it has no bytes, is read to its end', async () => {
  const text = assertValue(await readEventLog('/proc/self/status'));
  assert.match(Buffer.from(text).toString('utf8'), /^Name:/);
});

test('a file that is missing, empty, a folder or too long is refused', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgn-log-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, bytes: number): string => {
    writeFileSync(join(folder, name), Buffer.alloc(bytes));
    return join(folder, name);
  };
  for (const path of [
    join(folder, 'none'),
    folder,
    file('empty', 0),
    file('long', MAX_EVENT_LOG_BYTES + 1),
  ]) {
    assertRefused(await readEventLog(path), 'AGENT_TPM_FILES');
  }
  const longest = assertValue(await readEventLog(file('longest', MAX_EVENT_LOG_BYTES)));
  assert.equal(longest.length, MAX_EVENT_LOG_BYTES);
});
