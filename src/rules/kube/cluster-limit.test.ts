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
import type { EntryDraft } from '../entry.ts';
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

describe('rules of a server that serves connectors', () => {
  const rendered = (path: string, servesConnectors?: boolean) => {
    const rules = derivation({ servesConnectors });
    rules.putNode(node('node-a'));
    rules.putNamespace({ name: 'shop', labels: {} });
    rules.putRule(clusterRule('r', template(path)));
    rules.putPod(pod('shop', 'web'));
    rules.settle();
    return rules;
  };

  for (const path of ['/connector', '/connector/a', '/connector/{{ .PodMeta.Namespace }}/c1']) {
    it(`do not give ${path}, and say so`, () => {
      const rules = rendered(path, true);
      assert.equal(rules.entryCount, 0);
      const verdict = rules.explain('shop/web')?.rules[0]?.verdict;
      assert.ok(verdict?.kind === 'failed');
      assert.equal(verdict.error.code, 'ENTRY_SPIFFE_ID');
      for (const off of [false, undefined]) assert.equal(rendered(path, off).entryCount, 1);
    });
  }

  it('give what only looks like it', () => {
    for (const path of ['/connectors', '/connector-a/b', '/shop/connector/a']) {
      assert.equal(rendered(path, true).entryCount, 1, path);
    }
  });

  it('do not give it below a prefix of theirs either, nor in static entries', () => {
    const limit = { clusterName: 'rack', pathPrefixes: ['/connector'], servesConnectors: true };
    const owned = staticEntry('/connector/edge/c1', AGENT);
    assertRefused(checkClusterLimit(owned, limit), 'ENTRY_SPIFFE_ID');
    assertValue(checkClusterLimit(owned, { ...limit, servesConnectors: false }));
  });
});

function staticEntry(path: string, parent: string, more: JsonObject = {}): EntryDraft {
  const spec = {
    spiffeID: `spiffe://example.org${path}`,
    parentID: `spiffe://example.org${parent}`,
    selectors: ['unix:uid:0'],
    ...more,
  };
  const known = staticRule('s', spec);
  assert.ok(known.kind === 'static');
  return assertValue(known.parsed);
}

describe('static entries of a cluster with path prefixes', () => {
  it('have IDs below them, without admin and downstream', () => {
    assertValue(checkClusterLimit(staticEntry('/rack/a', AGENT), LIMIT));
    assertRefused(checkClusterLimit(staticEntry('/a', AGENT), LIMIT), 'RULE_LIMIT');
    for (const flag of ['admin', 'downstream']) {
      const flagged = staticEntry('/rack/a', AGENT, { [flag]: true });
      assertRefused(checkClusterLimit(flagged, LIMIT), 'RULE_LIMIT');
      assertValue(checkClusterLimit(flagged, FREE));
    }
  });

  it('are for agents of the cluster or for what lies below the prefixes', () => {
    for (const parent of [AGENT, '/rack/alias', '/shared/gpu/alias']) {
      assertValue(checkParentLimit(staticEntry('/rack/a', parent), LIMIT));
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
      assertRefused(checkParentLimit(staticEntry('/rack/a', parent), LIMIT), 'RULE_LIMIT');
      assertValue(checkParentLimit(staticEntry('/rack/a', parent), FREE));
    }
  });
});
