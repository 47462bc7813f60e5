import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERRORS, type ErrorCode } from '../../src/base/errors.ts';
import { productSources } from './boundaries.ts';
import { ERRORS_PAGE, renderErrorsPage } from './errors-page.ts';

const codes = Object.keys(ERRORS) as ErrorCode[];

test('docs/errors.md is what the table says, no code more and none less', () => {
  assert.equal(readFileSync(ERRORS_PAGE, 'utf8'), renderErrorsPage(), 'run: npm run docs');
});

test('no two sections of the table define one code', () => {
  const rows = readdirSync('src/base/errors').flatMap((file) =>
    [...readFileSync(`src/base/errors/${file}`, 'utf8').matchAll(/^ {2}([A-Z][A-Z0-9_]+):/gm)].map(
      ([, code]) => code,
    ),
  );
  assert.deepEqual(
    rows.filter((code, index) => rows.indexOf(code) !== index),
    [],
  );
});

test('every code is used by the product', () => {
  const sources = productSources(process.cwd())
    .filter((file) => !file.startsWith('src/base/errors'))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  assert.deepEqual(
    codes.filter((code) => !new RegExp(`['"\`]${code}['"\`]`).test(sources)),
    [],
  );
});

test('every row tells the operator what happened and what to do, as sentences', () => {
  for (const code of codes) {
    const { means, action } = ERRORS[code];
    assert.match(means, /^[A-Z].{8,}/, `${code} means: ${means}`);
    assert.doesNotMatch(means + action, /\|/, `${code} would break the page's table`);
    assert.match(action, /^[A-Z"].*\.$/, `${code} action: ${action}`);
  }
});

test('no source throws a bare Error', () => {
  const offenders = productSources(process.cwd()).filter((file) =>
    /\bnew Error\(/.test(readFileSync(file, 'utf8')),
  );
  assert.deepEqual(offenders, []);
});
