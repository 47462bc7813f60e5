import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  clusterRule,
  derivation,
  node,
  pod,
  staticRule,
  workloadIdentity,
} from '../../../test/support/kube-rules.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { checkClusterLimit, checkParentLimit } from './cluster-limit.ts';
import type { Derivation } from './derivation.ts';
import type { JsonObject } from './fields.ts';
import { parsePrefixGrant } from './pod-rule.ts';

const LIMIT = { clusterName: 'rack', pathPrefixes: ['/rack', '/shared/gpu'] };
const FREE = { ...LIMIT, pathPrefixes: [] };
const AGENT = '/spire/agent/k8s_psat/rack/u';

/** What a limited cluster, with a pod, derives from rules. */
function limited(...specs: readonly JsonObject[]): Derivation {
  const rules = derivation({ pathPrefixes: LIMIT.pathPrefixes });
  rules.putNode(node('node-a'));
  rules.putNamespace({ name: 'shop', labels: {} });
  for (const [index, spec] of specs.entries()) rules.putRule(clusterRule(`r${index}`, spec));
  rules.putPod(pod('shop', 'web'));
  rules.settle();
  return rules;
}

function template(path: string): JsonObject {
  return { spiffeIDTemplate: `spiffe://example.org${path}` };
}

describe('rules of a cluster with path prefixes', () => {
  const paths: readonly [string, boolean][] = [
    ['/rack/a', true],
    ['/rack/a/b', true],
    ['/shared/gpu/a', true],
    ['/rack', false],
    ['/racks/a', false],
    ['/rac/k', false],
    ['/shared/a', false],
    ['/shared/gpus', false],
    ['/other/rack/a', false],
    ['/Rack/a', false],
  ];
  for (const [path, isAllowed] of paths) {
    it(`give ${path}: ${isAllowed}`, () => {
      const [standing] = limited(template(path)).standings();
      assert.equal(standing?.stats.entriesToSet, isAllowed ? 1 : 0);
      assert.equal(standing?.failure === undefined, isAllowed);
    });
  }

  it('give nobody admin or downstream, which could make any entry or sign any ID', () => {
    for (const flag of ['admin', 'downstream']) {
      const rules = limited({ ...template('/rack/a'), [flag]: true });
      assert.equal(rules.entryCount, 0);
      const verdict = rules.explain('shop/web')?.rules[0]?.verdict;
      assert.ok(verdict?.kind === 'failed');
      assert.equal(verdict.error.code, 'RULE_LIMIT');
      assert.match(verdict.error.message, new RegExp(`cluster rack .* ${flag}`));
    }
  });

  it('let grants to namespaces reach no further', () => {
    const rules = limited();
    const grant = parsePrefixGrant('g', { pathPrefix: '/other', namespaceSelector: {} });
    rules.setGrant('g', assertValue(grant));
    rules.putRule(workloadIdentity('shop', 'w', template('/other/a')));
    rules.settle();
    assert.equal(rules.entryCount, 0);
  });

  it('leave the entries of others alone: one that fails keeps no other from the pod', () => {
    const rules = limited(template('/other/a'), template('/rack/a'));
    assert.equal(rules.entryCount, 1);
  });
});

describe('static entries of a cluster with path prefixes', () => {
  const entry = (path: string, parent: string, more: JsonObject = {}) => {
    const spec = {
      spiffeID: `spiffe://example.org${path}`,
      parentID: `spiffe://example.org${parent}`,
      selectors: ['unix:uid:0'],
      ...more,
    };
    const known = staticRule('s', spec);
    assert.ok(known.kind === 'static');
    return assertValue(known.parsed);
  };

  it('have IDs below them, without admin and downstream', () => {
    assertValue(checkClusterLimit(entry('/rack/a', AGENT), LIMIT));
    assertRefused(checkClusterLimit(entry('/a', AGENT), LIMIT), 'RULE_LIMIT');
    for (const flag of ['admin', 'downstream']) {
      const flagged = entry('/rack/a', AGENT, { [flag]: true });
      assertRefused(checkClusterLimit(flagged, LIMIT), 'RULE_LIMIT');
      assertValue(checkClusterLimit(flagged, FREE));
    }
  });

  it('are for agents of the cluster or for what lies below the prefixes', () => {
    for (const parent of [AGENT, '/rack/alias', '/shared/gpu/alias']) {
      assertValue(checkParentLimit(entry('/rack/a', parent), LIMIT));
    }
    const others = [
      '/spire/agent/k8s_psat/other/u',
      '/spire/agent/k8s_psat/rack2/u',
      '/spire/agent/k8s_psat/rack',
      '/spire/agent/join_token/x',
      '/spire/server',
      '/alias',
    ];
    for (const parent of others) {
      assertRefused(checkParentLimit(entry('/rack/a', parent), LIMIT), 'RULE_LIMIT');
      assertValue(checkParentLimit(entry('/rack/a', parent), FREE));
    }
  });
});
