import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LINTS_PAGE, lintTables, renderLintsPage } from './lints-page.ts';

const lints = (await lintTables()).flatMap((table) => table.lints);

test('docs/lints.md is what the tables say', async () => {
  assert.equal(readFileSync(LINTS_PAGE, 'utf8'), await renderLintsPage(), 'run: npm run docs');
});

test('no two lints have the same id, and each says something of a rule', () => {
  const ids = lints.map(({ id }) => id);
  assert.ok(ids.length > 50, `only ${ids.length} lints were seen`);
  assert.deepEqual(
    ids.filter((id, index) => ids.indexOf(id) !== index),
    [],
  );
  for (const { id, rule, says } of lints) {
    assert.match(id, /^[a-z0-9-]+$/);
    assert.match(rule, /\S/, id);
    assert.match(says, /\.$/, id);
  }
});
