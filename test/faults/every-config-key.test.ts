import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { agentConfigJsonSchema } from '../../agent/config.ts';
import { commands } from '../../src/main/commands.ts';
import { serverConfigJsonSchema } from '../../src/server/config.ts';
import { cli } from '../support/cli.ts';

/** The part of a JSON Schema that the walk goes by. */
interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

type Tree = { [key: string]: unknown };

let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sgn-'));
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** What `validate` says of a configuration. */
async function validate(who: string, config: unknown) {
  const path = join(folder, `${who}.yaml`);
  writeFileSync(path, typeof config === 'string' ? config : stringify(config));
  return cli(commands, [who, 'validate', '--config', path]);
}

/** Every key with the schema of its value: maps of keys, and what is in them. */
function* keysOf(schema: Schema, path: readonly string[] = []): Generator<[string[], Schema]> {
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    yield [[...path, key], value];
    yield* keysOf(value, [...path, key]);
  }
}

/** A copy of a configuration with one more value in it. */
function withValue(config: Tree, path: readonly string[], value: unknown): Tree {
  const copy = structuredClone(config);
  let at = copy;
  for (const key of path.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Tree;
  }
  at[path.at(-1) ?? ''] = value;
  return copy;
}

/** Values that the schema of a key does not allow: why, and the value. */
function badValues(schema: Schema): (readonly [string, unknown])[] {
  const isMap = schema.properties !== undefined;
  const bad: (readonly [string, unknown])[] = [
    ['nothing', null],
    schema.type === 'array' ? ['a map for a list', { a: 1 }] : ['a list', [1]],
    isMap ? ['text for a map', 'text'] : ['a map of unknown keys', { planted: { deeper: 1 } }],
  ];
  if (schema.type === 'string') bad.push(['a number', 7], ['a truth value', true]);
  if (schema.type === 'number' || schema.type === 'integer') bad.push(['text', 'many']);
  if (schema.type === 'boolean') bad.push(['text', 'yes please'], ['a number', 1]);
  if (schema.type === 'integer') bad.push(['a fraction', 1.5]);
  if (schema.enum !== undefined) bad.push(['none of the choices', 'planted']);
  if (schema.minimum !== undefined) bad.push(['less than the least', schema.minimum - 1]);
  if (schema.maximum !== undefined) bad.push(['more than the most', schema.maximum + 1]);
  if (schema.minLength !== undefined && schema.minLength > 0) bad.push(['empty text', '']);
  if (schema.maxLength !== undefined) bad.push(['too long', 'a'.repeat(schema.maxLength + 1)]);
  if (schema.pattern !== undefined) bad.push(['text of another form', '\u0001 planted \u202e']);
  return bad;
}

const MINIMAL: Readonly<Record<string, Tree>> = {
  server: { trustDomain: 'example.org' },
  agent: {
    trustDomain: 'example.org',
    server: { address: '127.0.0.1' },
    bootstrap: { bundlePath: '/bundle.pem' },
  },
};

const SCHEMAS: Readonly<Record<string, Schema>> = {
  server: serverConfigJsonSchema() as Schema,
  agent: agentConfigJsonSchema() as Schema,
};

/** Durations and sizes that no key takes; a JSON Schema cannot say their bounds. */
function unitsOf({ pattern = '' }: Schema): readonly string[] {
  if (pattern.includes('(ms|s|m|h|d)')) return ['5', '-1s', '1 fortnight', '100000d', '1e3s', ''];
  return pattern.includes('iB') ? ['5', '-1B', '1 GB and more', '999999TiB', ''] : [];
}

for (const [who, schema] of Object.entries(SCHEMAS)) {
  const minimal = MINIMAL[who]!;

  /** Asserts that a configuration is refused, and that the refusal names the key. */
  async function assertNamed(config: unknown, key: string, what: string): Promise<void> {
    const { code, err, out } = await validate(who, config);
    const text = `${what}: exit ${code}\n${err}`;
    assert.equal(code, 1, text);
    assert.equal(out, '', text);
    assert.match(err, /^ {2}code: CONFIG_(INVALID|SYNTAX) /m, text);
    assert.match(err, /^ {2}next: \S/m, text);
    assert.match(err, new RegExp(`:\\d+:\\d+: ${RegExp.escape(key)}[:.[]`), text);
    assert.doesNotMatch(err, /\n\s+at |TypeError|ZodError/, text);
  }

  describe(`every key of ${who}.yaml`, () => {
    test('the configuration that the others are made of is valid', async () => {
      assert.equal((await validate(who, minimal)).code, 0);
    });

    for (const [path, value] of keysOf(schema)) {
      const key = path.join('.');
      test(`${key}: a wrong value and an unknown sibling are refused by name`, async () => {
        for (const [why, bad] of badValues(value)) {
          await assertNamed(withValue(minimal, path, bad), key, `${key}, ${why}`);
        }
        for (const bad of unitsOf(value)) {
          await assertNamed(withValue(minimal, path, bad), key, `${key}: "${bad}"`);
        }
        const sibling = [...path.slice(0, -1), `${path.at(-1)}x`];
        const planted = withValue(minimal, sibling, 1);
        await assertNamed(planted, sibling.join('.'), `${sibling.join('.')}, unknown`);
      });
    }

    for (const key of schema.required ?? []) {
      test(`without ${key} it is refused by name`, async () => {
        const { [key]: _, ...rest } = minimal;
        const { code, err } = await validate(who, rest);
        assert.equal(code, 1);
        assert.match(err, new RegExp(`${key}: is required`));
      });
    }

    const texts: readonly (readonly [string, string])[] = [
      ['no YAML', '{"trustDomain": [unclosed'],
      ['two documents', 'trustDomain: a\n---\ntrustDomain: b\n'],
      ['a key twice', 'trustDomain: a\ntrustDomain: b\n'],
      ['a list', '- trustDomain\n'],
      ['text alone', 'trustDomain'],
      ['aliases that multiply', bomb()],
      ['a tag of a language', 'trustDomain: !!js/function "function () {}"\n'],
      ['an alias of nothing', 'trustDomain: *nowhere\n'],
      ['nothing', ''],
    ];
    for (const [name, text] of texts) {
      test(`a file with ${name} is refused`, async () => {
        const { code, err } = await validate(who, text);
        assert.equal(code, 1, err);
        assert.match(err, /^ {2}code: CONFIG_(INVALID|SYNTAX) /m);
        assert.match(err, /^ {2}next: \S/m);
        assert.doesNotMatch(err, /\n\s+at /);
      });
    }
  });
}

/** Nine levels of nine aliases each. */
function bomb(): string {
  const lines = ['a0: &a0 x'];
  for (let level = 1; level < 9; level++) {
    const aliases = Array.from({ length: 9 }, () => `*a${level - 1}`).join(', ');
    lines.push(`a${level}: &a${level} [${aliases}]`);
  }
  return `${lines.join('\n')}\n`;
}
