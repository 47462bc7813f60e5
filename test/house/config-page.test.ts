import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CONFIG_PAGE, renderConfigPage, undescribed } from './config-page.ts';

test('docs/configuration.md is what the schemas say', () => {
  assert.equal(readFileSync(CONFIG_PAGE, 'utf8'), renderConfigPage(), 'run: npm run docs');
});

test('every setting says what it does', () => {
  assert.deepEqual(undescribed(), []);
});
