import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import {
  CHART_SCHEMA,
  CONNECTOR_CHART_SCHEMA,
  renderChartSchema,
  renderConnectorChartSchema,
} from './chart-schema.ts';

type Node = Readonly<Record<string, unknown>>;

for (const [path, render] of [
  [CHART_SCHEMA, renderChartSchema],
  [CONNECTOR_CHART_SCHEMA, renderConnectorChartSchema],
] as const) {
  test(`${path} takes what the programs take`, () => {
    assert.equal(readFileSync(path, 'utf8'), render(), 'run: npm run docs');
  });
}

/** Objects of a schema that take keys which nobody names. */
function open(schema: unknown, path: string): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const { type, additionalProperties } = schema as Node;
  const isMap = typeof additionalProperties === 'object';
  const here = type === 'object' && additionalProperties !== false && !isMap ? [path] : [];
  const inner = Object.entries(schema).flatMap(([key, value]) => open(value, `${path}/${key}`));
  return [...here, ...inner];
}

for (const chart of ['signet', 'signet-crds', 'signet-connector']) {
  test(`no object of the values of ${chart} takes unknown keys`, () => {
    const schema: unknown = JSON.parse(readFileSync(`charts/${chart}/values.schema.json`, 'utf8'));
    assert.deepEqual(open(schema, ''), []);
  });
}

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** Instructions of a container file, with continued lines joined. */
function instructions(path: string): readonly Instruction[] {
  const text = readFileSync(path, 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
      assert.notEqual(name, '', `${path}: ${line}`);
      return { name, rest };
    });
}

for (const [kind, user] of [
  ['server', '10001:10001'],
  ['agent', '0:0'],
] as const) {
  test(`the container file of the ${kind} is well-formed and pins its user and tags`, () => {
    const parsed = instructions(`containers/Containerfile.${kind}`);
    const of = (name: string) =>
      parsed.filter((each) => each.name === name).map(({ rest }) => rest);
    const known = /^(ARG|FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|ENTRYPOINT|CMD)$/;
    assert.deepEqual(
      parsed.filter(({ name }) => !known.test(name)),
      [],
    );
    assert.deepEqual(of('USER'), [user]);
    assert.deepEqual(JSON.parse(of('ENTRYPOINT')[0] ?? ''), ['/opt/signet/bin/signet']);
    assert.deepEqual(JSON.parse(of('CMD')[0] ?? ''), [kind, 'run']);
    const bases = of('ARG').filter((rest) => rest.includes('='));
    for (const base of bases) assert.match(base, /^[A-Z]+=[a-z0-9./-]+:[0-9]+-slim$/);
    const args = new Set(of('ARG').map((rest) => rest.split('=')[0]));
    for (const from of of('FROM')) assert.ok(args.has(/^\$\{([A-Z]+)\}/.exec(from)?.[1]), from);
  });
}

/** Names that alert rules and dashboards use, without the process they are of. */
function usedMetrics(): readonly string[] {
  const files = ['files/alerts.yaml', 'files/dashboards/signet.json'];
  const texts = files.map((file) => readFileSync(join('charts/signet', file), 'utf8'));
  const found = texts.join('\n').matchAll(/\bsignet_(?:server|agent|connector)_(\w+)/g);
  return [...new Set([...found].map(([, name = '']) => name.replace(/_bucket$/, '')))];
}

test('alert rules and dashboards use metrics that are there', () => {
  const sources = ['src', 'agent'].flatMap((top) =>
    readdirSync(top, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
      .map((path) => readFileSync(join(top, path), 'utf8')),
  );
  const text = sources.join('\n');
  const used = usedMetrics();
  assert.ok(used.length > 20);
  assert.deepEqual(
    used.filter((name) => !text.includes(`'${name}'`)),
    [],
  );
});

test('every alert names a page of docs/ that is there', () => {
  const { groups } = parse(readFileSync('charts/signet/files/alerts.yaml', 'utf8')) as {
    groups: { rules: { alert: string; annotations: { runbook?: string } }[] }[];
  };
  const rules = groups.flatMap(({ rules }) => rules);
  assert.ok(rules.length > 15);
  for (const { alert, annotations } of rules) {
    assert.ok(existsSync(annotations.runbook ?? ''), `${alert}: ${annotations.runbook}`);
  }
});
