import assert from 'node:assert/strict';
import { parseAllDocuments } from 'yaml';
import type { GoTool } from './go-tool.ts';

/** Sets of values that the chart is tested with. */
export const VALUES = 'charts/signet/ci';

/** An object that a chart renders. */
export type Manifest = Readonly<Record<string, unknown>>;

/** Objects that a chart renders for Kubernetes 1.37, by kind and name. */
export async function render(
  helm: GoTool,
  chart: string,
  args: readonly string[],
): Promise<readonly Manifest[]> {
  const namespace = ['--namespace', 'signet', '--kube-version', '1.37'];
  const { code, stdout, stderr } = await helm.run(['template', 'r', chart, ...namespace, ...args]);
  assert.equal(code, 0, stderr);
  const order = ({ kind, metadata }: Manifest): string => `${kind} ${textOf(metadata, 'name')}`;
  return parseAllDocuments(stdout, { version: '1.1' })
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null)
    .sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** What is at a path of an object; undefined where there is nothing. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (Object(inner) as Readonly<Record<string, unknown>>)[key],
    value,
  );
}

/** The text at a path, which has to be there. */
export function textOf(value: unknown, ...path: readonly string[]): string {
  const found = at(value, ...path);
  assert.equal(typeof found, 'string', path.join('.'));
  return String(found);
}

/** The pod that the only workload of a kind, or that of a name, makes. */
export function podOf(manifests: readonly Manifest[], kind: string, name?: string): unknown {
  const found = manifests.filter(
    (one) => one.kind === kind && (name === undefined || at(one, 'metadata', 'name') === name),
  );
  assert.equal(found.length, 1, kind);
  return at(found[0], 'spec', 'template', 'spec');
}
