import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { createAccountNames, parseAccountFile } from './account-names.ts';

test('the first line of a number names it, and lines of another form name nothing', () => {
  const names = parseAccountFile(
    [
      'root:x:0:0::/:/bin/sh',
      'toor:x:0:0::',
      '+nis:x:7',
      ':x:8',
      'bad:x:nine',
      'a b:x:10',
      'short',
    ].join('\n'),
  );
  assert.deepEqual([...names], [[0, 'root']]);
});

test('names follow a changed file, and an absent file has none', (context) => {
  const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(dir, { recursive: true }));
  const passwd = join(dir, 'passwd');
  const names = createAccountNames(passwd, join(dir, 'group'));
  assert.equal(assertValue(names.user(1000)), undefined);
  writeFileSync(passwd, 'alice:x:1000:1000::/:/bin/sh\n');
  assert.equal(assertValue(names.user(1000)), 'alice');
  writeFileSync(passwd, 'alison:x:1000:1000::/:/bin/sh\n');
  assert.equal(assertValue(names.user(1000)), 'alison');
  assert.equal(assertValue(names.user(1001)), undefined);
});

test('a file that cannot be read is a refusal: names must not go missing (F9)', (context) => {
  const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(dir, { recursive: true }));
  // A directory in the file's place: reading fails for root as well.
  assertRefused(createAccountNames(dir, dir).user(0), 'AGENT_PROCESS_UNREADABLE');
  assertRefused(createAccountNames(dir, dir).group(0), 'AGENT_PROCESS_UNREADABLE');
});
