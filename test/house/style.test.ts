import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { productSources } from './boundaries.ts';

const files = productSources(process.cwd()).map((file) => ({
  file,
  lines: readFileSync(file, 'utf8').split('\n'),
}));

const MAX_LINES = 400;

test(`no source is longer than ${MAX_LINES} lines`, () => {
  const long = files.filter(({ lines }) => lines.length > MAX_LINES);
  assert.deepEqual(
    long.map(({ file, lines }) => `${file}: ${lines.length}`),
    [],
  );
});

/** Exports of a source whose line above is not the end of a doc block. */
function undocumented(lines: readonly string[]): readonly string[] {
  return lines.filter((line, index) => {
    if (!/^export (async )?(function|const|class|interface|type) \w/.test(line)) return false;
    return !(lines[index - 1] ?? '').trim().endsWith('*/');
  });
}

test('every export has a doc block', () => {
  const missing = files.flatMap(({ file, lines }) =>
    undocumented(lines).map((line) => `${file}: ${line}`),
  );
  assert.deepEqual(missing, []);
});

test('the doc block check sees an export without one', () => {
  assert.deepEqual(undocumented(['', 'export function planted(): void {}']), [
    'export function planted(): void {}',
  ]);
  assert.deepEqual(undocumented(['/** Fine. */', 'export const fine = 1;']), []);
});

test('no source has a default export, an enum, a switched-off check or unfinished work', () => {
  const forbidden = [
    /\bexport default\b/,
    /^\s*(export )?(const )?enum\b/,
    /@ts-(ignore|expect-error|nocheck)/,
    /biome-ignore(?!.*: \S)/,
    /\b(TODO|FIXME|XXX|HACK)\b/,
  ];
  const hits = files.flatMap(({ file, lines }) =>
    lines
      .filter((line) => forbidden.some((pattern) => pattern.test(line)))
      .map((line) => `${file}: ${line.trim()}`),
  );
  assert.deepEqual(hits, []);
});
