import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { testFolder } from '../../test/support/workload-api.ts';
import { createFlowSource, firstNumber, sumOfMetric } from './flows.ts';

test('a text gives the number that it begins with, and nothing else', () => {
  for (const [text, number] of [
    ['0', 0],
    [' 12 flows\n', 12],
    ['999999999999', 999_999_999_999],
    ['9999999999999', undefined],
    ['1.5', undefined],
    ['-1', undefined],
    ['', undefined],
    ['many', undefined],
  ] as const) {
    assert.equal(firstNumber(text), number, text);
  }
});

test('the samples of a metric are added up, those of its namesakes not', () => {
  const page = [
    '# HELP flows Open flows.',
    '# TYPE flows gauge',
    'flows{zone="a"} 2',
    'flows{zone="b } 9"} 3 1700000000000',
    'flows_total 100',
    'flows NaN',
  ].join('\n');
  assert.equal(sumOfMetric(page, 'flows'), 5);
  assert.equal(sumOfMetric(page, 'flows_total'), 100);
  assert.equal(sumOfMetric(page, 'flow'), undefined);
});

test('flows come from a file, a page, or the watcher; an absent one is no number', async (context) => {
  const folder = testFolder(context);
  const path = join(folder, 'flows');
  const byFile = createFlowSource({ path }, undefined);
  assert.equal(await byFile?.(), undefined);
  writeFileSync(path, '4\n');
  assert.equal(await byFile?.(), 4);
  const page = createServer((_, response) => void response.end('active 7\n'));
  await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(page.address() as AddressInfo).port}/`;
  const byPage = createFlowSource({ url, metric: 'active' }, undefined);
  assert.equal(await byPage?.(), 7);
  page.closeAllConnections();
  await new Promise<void>((resolve) => page.close(() => resolve()));
  assert.equal(await byPage?.(), undefined);
  assert.equal(createFlowSource({}, undefined), undefined);
});
