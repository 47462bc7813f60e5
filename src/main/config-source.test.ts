import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { z } from 'zod';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { temporaryFolder } from '../../test/support/rpc.ts';
import type { Input } from '../cli/spec.ts';
import { type ConfigSource, configSourceOf, loadFrom, type OverrideFlag } from './config-source.ts';

const schema = z.strictObject({
  name: z.string().default('none'),
  listen: z
    .strictObject({ port: z.int().max(65_535).default(1), address: z.string().default('::') })
    .prefault({}),
  insecure: z.boolean().default(false),
});

function source(
  context: TestContext,
  text: string | undefined,
  more: Partial<ConfigSource> = {},
): ConfigSource {
  const path = join(temporaryFolder(context), 'config.yaml');
  if (text !== undefined) writeFileSync(path, text);
  return { path, required: true, expandEnv: false, overrides: [], env: {}, ...more };
}

test('a flag wins over the file, and what neither says is the default', async (context) => {
  const overrides = [{ key: 'listen.port', value: 9 }];
  const file = source(context, 'name: a\nlisten: {port: 8}\n', { overrides });
  assert.deepEqual(assertValue(await loadFrom(file, schema)), {
    name: 'a',
    listen: { port: 9, address: '::' },
    insecure: false,
  });
});

test('flags alone are enough where the default file is absent', async (context) => {
  const overrides = [{ key: 'name', value: 'a' }];
  const file = source(context, undefined, { required: false, overrides });
  assert.equal(assertValue(await loadFrom(file, schema)).name, 'a');
});

test('what flags alone leave open is not blamed on a file that is absent', async (context) => {
  const overrides = [{ key: 'listen.port', value: 70_000 }];
  const file = source(context, undefined, { required: false, overrides });
  const refused = await loadFrom(file, schema);
  assertRefused(refused, 'CONFIG_INVALID');
  const [first, ...problems] = refused.ok ? [] : refused.error.message.split('\n');
  assert.match(first ?? '', /config\.yaml does not exist, and by flags alone:$/);
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? '', /^ {2}.*listen\.port: must be/);
});

test('a file that is no map is named without a place', async (context) => {
  const refused = await loadFrom(source(context, 'text'), schema);
  assertRefused(refused, 'CONFIG_INVALID');
  assert.match(refused.ok ? '' : refused.error.message, /config\.yaml: must be a map of keys$/);
});

test('a file that was named must exist', async (context) => {
  assertRefused(await loadFrom(source(context, undefined), schema), 'CONFIG_UNREADABLE');
});

test('what is wrong with the file is told with its line, with flags as without', async (context) => {
  for (const overrides of [[], [{ key: 'name', value: 'a' }]]) {
    const file = source(context, 'listen:\n  prot: 8\n', { overrides });
    const refused = await loadFrom(file, schema);
    assertRefused(refused, 'CONFIG_INVALID');
    assert.match(
      refused.ok ? '' : refused.error.message,
      /config\.yaml:2:3: listen\.prot: unknown/,
    );
  }
});

test('a value of a flag is checked like one of the file', async (context) => {
  const file = source(context, '', { overrides: [{ key: 'listen.port', value: 70_000 }] });
  const refused = await loadFrom(file, schema);
  assertRefused(refused, 'CONFIG_INVALID');
  assert.match(refused.ok ? '' : refused.error.message, /listen\.port/);
});

test('a flag under something that is no map leaves the file to be refused', async (context) => {
  const file = source(context, 'listen: 5\n', { overrides: [{ key: 'listen.port', value: 1 }] });
  assertRefused(await loadFrom(file, schema), 'CONFIG_INVALID');
});

test('YAML that cannot be read is refused, with flags too', async (context) => {
  const file = source(context, 'a: [\n', { overrides: [{ key: 'name', value: 'a' }] });
  assertRefused(await loadFrom(file, schema), 'CONFIG_INVALID');
});

test('variables are replaced only where asked for, in both spellings', async (context) => {
  const text = ['name: $A-$', '{B}\n'].join('');
  const env = { A: 'one', B: 'two' };
  const plain = await loadFrom(source(context, text, { env }), schema);
  assert.equal(assertValue(plain).name, text.slice('name: '.length).trim());
  const expanded = await loadFrom(source(context, text, { env, expandEnv: true }), schema);
  assert.equal(assertValue(expanded).name, 'one-two');
});

test('a variable that is not set is refused by name', async (context) => {
  const file = source(context, 'name: $MISSING\n', { expandEnv: true });
  const refused = await loadFrom(file, schema);
  assertRefused(refused, 'CONFIG_INVALID');
  assert.match(refused.ok ? '' : refused.error.message, /not set: MISSING/);
});

const flags: readonly OverrideFlag[] = [
  { name: 'port', value: 'port', key: 'listen.port', kind: 'number', help: '' },
  { name: 'data', value: 'folder', key: 'dataDir', kind: 'path', help: '' },
  { name: 'level', value: 'level', key: 'log.level', kind: 'lowercase', help: '' },
  { name: 'insecure', key: 'insecure', help: '' },
];

function given(values: Readonly<Record<string, string | true>>): Input {
  return {
    args: [],
    text: (name) => {
      const value = values[name];
      return typeof value === 'string' ? value : undefined;
    },
    texts: () => [],
    has: (name) => values[name] === true,
  };
}

const io = { env: {} } as Parameters<typeof configSourceOf>[1];

test('flags become settings of their kind', () => {
  const input = given({ port: '8', data: 'x', level: 'DEBUG', insecure: true });
  const { overrides, required } = assertValue(
    configSourceOf(input, io, { fallback: '/etc/x', flags }),
  );
  assert.deepEqual(overrides, [
    { key: 'listen.port', value: 8 },
    { key: 'dataDir', value: join(process.cwd(), 'x') },
    { key: 'log.level', value: 'debug' },
    { key: 'insecure', value: true },
  ]);
  assert.equal(required, false);
});

test('a number that is none is usage', () => {
  for (const port of ['', '-1', '1.5', '0x10', '1e3', '9999999999']) {
    const options = { fallback: '/etc/x', flags };
    assertRefused(configSourceOf(given({ port }), io, options), 'CLI_USAGE');
  }
});
