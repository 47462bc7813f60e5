import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import {
  checkConfig,
  configJsonSchema,
  formatProblem,
  loadConfig,
  MAX_CONFIG_BYTES,
} from './config.ts';
import { durationSetting, sizeSetting } from './units.ts';

const schema = z.strictObject({
  name: z.string(),
  listen: z
    .strictObject({
      port: z.int().min(1).max(65535).default(8081),
      age: durationSetting({ min: '1s', max: '1h' }).prefault('3m'),
      size: sizeSetting({ max: '4MiB' }).prefault('64KiB'),
    })
    .prefault({}),
  keys: z.enum(['disk', 'memory']).default('disk'),
  start: z
    .union([
      z.strictObject({ insecure: z.literal(true) }),
      z.strictObject({ bundlePath: z.string(), format: z.enum(['pem', 'spiffe']).default('pem') }),
    ])
    .optional(),
  ids: z.array(z.string().min(1)).max(2).default([]),
});

function problemsOf(text: string): string[] {
  const checked = checkConfig(text, schema);
  return checked.ok ? [] : checked.problems.map(formatProblem);
}

test('a configuration gets its defaults, its units in seconds and bytes, and is frozen', () => {
  const checked = checkConfig('name: a\nlisten: { age: 1m30s }\n', schema);
  assert.ok(checked.ok);
  assert.deepEqual(checked.value, {
    name: 'a',
    listen: { port: 8081, age: 90, size: 65536 },
    keys: 'disk',
    ids: [],
  });
  assert.ok(Object.isFrozen(checked.value.listen));
});

const refused: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'an unknown key at the top, with a near miss',
    'name: a\nkesy: disk\n',
    ['2:1: kesy: unknown key; did you mean "keys"? (allowed: name, listen, keys, start, ids)'],
  ],
  [
    'an unknown nested key, with what is allowed',
    'name: a\nlisten:\n  adress: x\n',
    ['3:3: listen.adress: unknown key (allowed: port, age, size)'],
  ],
  [
    'a value outside an enumeration',
    'name: a\nkeys: dsik\n',
    ['2:1: keys: must be one of disk, memory'],
  ],
  ['a missing key', 'keys: disk\n', ['name: is required (a string)']],
  ['an empty file', '', ['name: is required (a string)']],
  ['a number for text', 'name: 3\n', ['1:1: name: must be a string']],
  ['a list for a map', 'name: a\nlisten: []\n', ['2:1: listen: must be a map of keys']],
  ['a port of 0', 'name: a\nlisten: {port: 0}\n', ['2:10: listen.port: must be at least 1']],
  [
    'a port of 65536',
    'name: a\nlisten: {port: 65536}\n',
    ['2:10: listen.port: must be at most 65535'],
  ],
  [
    'a broken port',
    'name: a\nlisten: {port: 1.5}\n',
    ['2:10: listen.port: must be a whole number'],
  ],
  [
    'a duration without a unit',
    'name: a\nlisten: {age: "90"}\n',
    [
      '2:10: listen.age: "90" is no duration: write a number with ms, s, m, h or d, such as 90s, 5m or 1h30m',
    ],
  ],
  [
    'a duration one second too long',
    'name: a\nlisten: {age: 3601s}\n',
    ['2:10: listen.age: 3601s is more than 1h'],
  ],
  [
    'an empty item of a list',
    'name: a\nids: ["", b]\n',
    ['2:7: ids[0]: must have at least 1 characters'],
  ],
  ['a list too long', 'name: a\nids: [a, b, c]\n', ['2:1: ids: must have at most 2 items']],
  [
    'neither form of a union',
    'name: a\nstart: {insecur: true}\n',
    ['2:1: start: must have one of the forms: insecure | bundlePath + format'],
  ],
  [
    'a wrong value in the form that fits',
    'name: a\nstart: {bundlePath: x, format: der}\n',
    ['2:24: start.format: must be one of pem, spiffe'],
  ],
  ['a key twice', 'name: a\nname: b\n', ['2:1: Map keys must be unique']],
  ['two documents', 'name: a\n---\nname: b\n', ['must be one YAML document']],
  [
    'everything that is wrong at once',
    'keys: x\nlisten: {prot: 1}\n',
    [
      'name: is required (a string)',
      '2:10: listen.prot: unknown key; did you mean "port"? (allowed: port, age, size)',
      '1:1: keys: must be one of disk, memory',
    ],
  ],
];

for (const [name, text, expected] of refused) {
  test(`a configuration is refused: ${name}`, () => {
    assert.deepEqual(problemsOf(text), expected);
  });
}

test('a configuration with prototype names as keys is refused, not applied', () => {
  assert.deepEqual(problemsOf('name: a\n__proto__: {keys: x}\nconstructor: 1\n').length, 2);
  assert.equal(Object.hasOwn(Object.prototype, 'keys'), false);
});

test('aliases that multiply are refused', () => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    'b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]',
    'c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]',
    'name: [*c,*c,*c,*c,*c,*c,*c,*c,*c]',
  ].join('\n');
  assert.match(problemsOf(bomb)[0] ?? '', /alias/i);
});

test('a file that is absent, too large or not text is refused with its code', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'signet-config-'));
  const absent = await loadConfig(join(dir, 'absent.yaml'), schema);
  assert.equal(absent.ok ? '' : absent.error.code, 'CONFIG_UNREADABLE');
  const limit = join(dir, 'limit.yaml');
  await writeFile(limit, `name: a\n${'#'.repeat(MAX_CONFIG_BYTES - 8)}`);
  assert.ok((await loadConfig(limit, schema)).ok);
  await writeFile(limit, `name: a\n${'#'.repeat(MAX_CONFIG_BYTES - 7)}`);
  const large = await loadConfig(limit, schema);
  assert.equal(large.ok ? '' : large.error.code, 'CONFIG_UNREADABLE');
  await writeFile(limit, Buffer.from([0x6e, 0xff, 0xfe]));
  const binary = await loadConfig(limit, schema);
  assert.equal(binary.ok ? '' : binary.error.code, 'CONFIG_SYNTAX');
  const folder = await loadConfig(dir, schema);
  assert.equal(folder.ok ? '' : folder.error.code, 'CONFIG_UNREADABLE');
});

test('problems of a file carry its path and their place', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'signet-config-'));
  const path = join(dir, 'server.yaml');
  await writeFile(path, 'name: a\nkesy: disk\n');
  const loaded = await loadConfig(path, schema);
  assert.equal(loaded.ok ? '' : loaded.error.code, 'CONFIG_INVALID');
  assert.ok(!loaded.ok && loaded.error.message.startsWith(`${path}:2:1: kesy`));
});

test('the JSON Schema for editors knows keys, patterns and defaults', () => {
  const text = JSON.stringify(configJsonSchema(schema, 'Test'));
  for (const part of ['"title":"Test"', '"additionalProperties":false', '"pattern":"^([0-9]']) {
    assert.ok(text.includes(part), part);
  }
});
