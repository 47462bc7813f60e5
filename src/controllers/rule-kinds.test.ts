import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CLUSTER, origin } from '../../test/support/kube-rules.ts';
import { readRule } from './rule-kinds.ts';
import { kubernetesSchema } from './settings.ts';

const FILTER = { className: '', watchClassless: false };

function staticEntry(path: string, parent: string, pathPrefixes: readonly string[]): string {
  const spec = {
    spiffeID: `spiffe://example.org${path}`,
    parentID: `spiffe://example.org${parent}`,
    selectors: ['unix:uid:0'],
  };
  const limit = { clusterName: 'rack', pathPrefixes };
  const { trustDomain } = CLUSTER;
  const rule = { origin: origin('ClusterStaticEntry', 's'), spec };
  const known = readRule(rule, { filter: FILTER, limit, trustDomain });
  if (known.kind !== 'static') assert.fail(known.kind);
  return known.parsed.ok ? 'ok' : known.parsed.error.code;
}

describe('a ClusterStaticEntry', () => {
  it('of a limited cluster is read within the limit', () => {
    const agent = '/spire/agent/k8s_psat/rack/u';
    assert.equal(staticEntry('/rack/a', agent, ['/rack']), 'ok');
    assert.equal(staticEntry('/a', agent, ['/rack']), 'RULE_LIMIT');
    assert.equal(staticEntry('/rack/a', '/spire/agent/k8s_psat/other/u', ['/rack']), 'RULE_LIMIT');
    assert.equal(staticEntry('/a', '/spire/agent/k8s_psat/other/u', []), 'ok');
  });
});

describe('rules.pathPrefixes', () => {
  const takes = (pathPrefix: string): boolean => {
    const clusters = [{ name: 'rack', rules: { pathPrefixes: [pathPrefix] } }];
    return kubernetesSchema.safeParse({ clusters }).success;
  };

  it('are paths of SPIFFE IDs', () => {
    for (const path of ['/rack', '/rack/1', '/a.b/c_d-e', '/..a']) assert.ok(takes(path), path);
    const wrong = ['', '/', 'rack', '/rack/', '//rack', '/a/../b', '/.', '/a b', '/ä', '/a\n'];
    for (const path of wrong) assert.ok(!takes(path), JSON.stringify(path));
  });
});
