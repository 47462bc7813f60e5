import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import {
  CLUSTER,
  clusterRule,
  derivation,
  node,
  origin,
  pod,
  staticRule,
  workloadIdentity,
} from '../../../test/support/kube-rules.ts';
import { assertValue } from '../../../test/support/refused.ts';
import { parseTemplate } from '../template/template.ts';
import { Derivation, type RuleStanding } from './derivation.ts';
import type { RuleVerdict } from './explain.ts';
import { parsePrefixGrant } from './pod-rule.ts';
import type { KnownRule } from './rule-table.ts';

const PARENT = 'spiffe://example.org/spire/agent/k8s_psat/rack/uid-node-a';

let rules: Derivation;

beforeEach(() => {
  rules = derivation();
  rules.putNode(node('node-a'));
  for (const name of ['shop', 'bank', 'kube-system']) {
    rules.putNamespace({ name, labels: { 'kubernetes.io/metadata.name': name, team: name } });
  }
});

function idsInForce(of: Derivation = rules): readonly string[] {
  return [...of.entries()].map(({ entry }) => entry.spiffeId.uri).sort();
}

function standing(name: string): RuleStanding {
  const found = [...rules.standings()].find(({ known }) => known.origin.name === name);
  assert.ok(found, name);
  return found;
}

function verdict(key: string, name: string): RuleVerdict {
  const found = rules.explain(key)?.rules.find(({ rule }) => rule.name === name);
  assert.ok(found, `${key} ${name}`);
  return found.verdict;
}

function grant(name: string, pathPrefix: string, namespaceSelector: object = {}): void {
  rules.setGrant(name, assertValue(parsePrefixGrant(name, { pathPrefix, namespaceSelector })));
}

describe('entries of pods', () => {
  it('have the UID of the pod as selector and the agent of its node as parent', () => {
    rules.putRule(
      clusterRule('all', { hint: 'h', ttl: '1h30m', jwtTtl: '90s', federatesWith: ['other.org'] }),
    );
    rules.putPod(pod('shop', 'web', { sa: 'web' }));
    const { upserts, deletedIds } = rules.settle();
    assert.deepEqual(deletedIds, []);
    const [{ entry, source } = assert.fail('no entry')] = upserts;
    assert.equal(entry.spiffeId.uri, 'spiffe://example.org/ns/shop/sa/web');
    assert.equal(entry.parentId.uri, 'spiffe://example.org/spire/agent/k8s_psat/rack/uid-node-a');
    assert.deepEqual(
      entry.selectors.map(({ text }) => text),
      ['k8s:pod-uid:uid-shop-web'],
    );
    assert.deepEqual(
      [entry.x509SvidTtlSeconds, entry.jwtSvidTtlSeconds, entry.hint],
      [5400, 90, 'h'],
    );
    assert.deepEqual(
      entry.federatesWith.map(({ name }) => name),
      ['other.org'],
    );
    assert.equal(entry.createdAtSeconds, 1_700_000_000);
    assert.match(entry.id, /^derived\.[0-9a-f]{32}$/);
    assert.ok(entry.revision > 0n && entry.revision < 2n ** 63n);
    assert.deepEqual([source.rule.name, source.pod, source.cluster], ['all', 'shop/web', 'rack']);
  });

  it('take extra selectors and DNS names from templates, and names of services', () => {
    rules.putRule(
      clusterRule('all', {
        dnsNameTemplates: ['{{ .PodMeta.Name }}.example.org', 'web.shop'],
        workloadSelectorTemplates: [
          'k8s:ns:{{ .PodMeta.Namespace }}',
          'k8s:pod-uid:{{ .PodMeta.UID }}',
        ],
        autoPopulateDNSNames: true,
      }),
    );
    rules.putPod(pod('shop', 'w1'));
    rules.setEndpoints('shop/web-1', {
      namespace: 'shop',
      service: 'web',
      podUids: ['uid-shop-w1'],
    });
    rules.setEndpoints('shop/web-2', {
      namespace: 'shop',
      service: 'web',
      podUids: ['uid-shop-w1'],
    });
    const [{ entry } = assert.fail('no entry')] = rules.settle().upserts;
    assert.deepEqual(entry.dnsNames, [
      'w1.example.org',
      'web.shop',
      'web',
      'web.shop.svc',
      'web.shop.svc.cluster.local',
    ]);
    assert.deepEqual(
      entry.selectors.map(({ text }) => text),
      ['k8s:pod-uid:uid-shop-w1', 'k8s:ns:shop'],
    );
    rules.setEndpoints('shop/web-1', undefined);
    assert.deepEqual(rules.settle().upserts, [], 'the other slice still leads there');
    rules.setEndpoints('shop/web-2', undefined);
    const [{ entry: after } = assert.fail('no entry')] = rules.settle().upserts;
    assert.deepEqual(after.dnsNames, ['w1.example.org', 'web.shop']);
    assert.equal(after.id, entry.id);
    assert.notEqual(after.revision, entry.revision);
  });

  it('take no DNS name from a slice of another namespace, nor one that no service can have', () => {
    rules.putRule(clusterRule('all', { autoPopulateDNSNames: true }));
    rules.putPod(pod('shop', 'w1'));
    const podUids = ['uid-shop-w1'];
    rules.setEndpoints('bank/s', { namespace: 'bank', service: 'ledger', podUids });
    for (const service of ['login.bank.com', 'Bank', 'a_b', '-a', 'a-', '', 'a'.repeat(64)]) {
      rules.setEndpoints(`shop/${service}`, { namespace: 'shop', service, podUids });
    }
    const [{ entry } = assert.fail('no entry')] = rules.settle().upserts;
    assert.deepEqual(entry.dnsNames, []);
  });

  it('are other ones in another cluster, however alike the rules', () => {
    const other = new Derivation({
      cluster: { ...CLUSTER, clusterName: 'shelf' },
      isIgnored: () => false,
    });
    const [one, two] = [rules, other].map((of) => {
      of.putRule(
        staticRule('s', {
          spiffeID: 'spiffe://example.org/a',
          parentID: PARENT,
          selectors: ['a:b'],
        }),
      );
      return of.settle().upserts[0]?.entry.id;
    });
    assert.ok(one !== undefined && two !== undefined);
    assert.notEqual(one, two);
  });

  it('wait for the node of the pod and for the namespace, and are no failures meanwhile', () => {
    rules.putRule(clusterRule('all'));
    rules.putPod(pod('shop', 'a', { nodeName: '' }));
    rules.putPod(pod('shop', 'b', { nodeName: 'node-b' }));
    rules.putPod(pod('later', 'c'));
    assert.deepEqual(rules.settle().upserts, []);
    assert.equal(standing('all').stats.podEntryRenderFailures, 0);
    assert.equal(verdict('shop/a', 'all').kind, 'waiting');
    rules.putPod(pod('shop', 'a'));
    rules.putNode(node('node-b'));
    rules.putNamespace({ name: 'later', labels: {} });
    assert.equal(rules.settle().upserts.length, 3);
  });

  it('go with the pod, with the rule, and with the UID of a reused name', () => {
    rules.putRule(clusterRule('all'));
    rules.putPod(pod('shop', 'a'));
    const [first] = rules.settle().upserts;
    rules.putPod(pod('shop', 'a', { uid: 'other' }));
    const again = rules.settle();
    assert.deepEqual(again.deletedIds, [first?.entry.id]);
    assert.equal(again.upserts.length, 1);
    rules.deletePod('shop/a');
    assert.equal(rules.settle().deletedIds.length, 1);
    rules.putPod(pod('shop', 'a'));
    rules.settle();
    rules.deleteRule('uid-all');
    assert.deepEqual(rules.settle(), { upserts: [], deletedIds: [first?.entry.id] });
    assert.equal(rules.entryCount, 0);
  });

  it('follow the labels of namespaces and pods', () => {
    const namespaceSelector = {
      matchExpressions: [{ key: 'tier', operator: 'In', values: ['gold'] }],
    };
    rules.putRule(clusterRule('gold', { namespaceSelector }));
    rules.putRule(
      clusterRule('db', {
        podSelector: { matchLabels: { app: 'db' } },
        spiffeIDTemplate: 'spiffe://example.org/db',
      }),
    );
    rules.putPod(pod('shop', 'a'));
    rules.settle();
    assert.deepEqual(idsInForce(), []);
    rules.putNamespace({ name: 'shop', labels: { tier: 'gold' } });
    rules.putPod(pod('shop', 'a', { labels: { app: 'db' } }));
    rules.settle();
    assert.deepEqual(idsInForce(), [
      'spiffe://example.org/db',
      'spiffe://example.org/ns/shop/sa/default',
    ]);
    rules.putNamespace({ name: 'shop', labels: { tier: 'tin' } });
    rules.settle();
    assert.deepEqual(idsInForce(), ['spiffe://example.org/db']);
  });

  it('are not pushed again when nothing in them changed', () => {
    rules.putRule(clusterRule('all'));
    rules.putPod(pod('shop', 'a'));
    rules.settle();
    rules.putPod(pod('shop', 'a', { labels: { new: 'label' } }));
    rules.putNode(node('node-a'));
    assert.deepEqual(rules.settle(), { upserts: [], deletedIds: [] });
  });

  it('come in slices where asked', () => {
    rules.putRule(clusterRule('all'));
    for (let index = 0; index < 5; index += 1) rules.putPod(pod('shop', `p${index}`));
    assert.equal(rules.settle(2).upserts.length, 2);
    assert.equal(rules.pending, 3);
    assert.equal(rules.settle(3).upserts.length, 3);
    assert.equal(rules.pending, 0);
  });
});

describe('rules beside one another', () => {
  it('mask one another by age, then by deletion, then by UID', () => {
    const young = { createdAtMs: 2_000_000_000_000 };
    rules.putRule(clusterRule('young', {}, young));
    rules.putRule(clusterRule('dying', {}, { deletingSinceMs: 5 }));
    rules.putRule(clusterRule('b', {}));
    rules.putRule(clusterRule('a', {}));
    rules.putPod(pod('shop', 'web'));
    rules.settle();
    const counts = (name: string): readonly number[] => {
      const { entriesToSet, entriesMasked } = standing(name).stats;
      return [entriesToSet, entriesMasked];
    };
    assert.deepEqual(['a', 'b', 'dying', 'young'].map(counts), [
      [1, 0],
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
    const masked = verdict('shop/web', 'young');
    assert.equal(masked.kind === 'masked' ? masked.by.name : masked.kind, 'a');
    rules.deleteRule('uid-a');
    rules.settle();
    assert.deepEqual(counts('b'), [1, 0]);
  });

  it('fall back only where no other rule gives an entry', () => {
    rules.putRule(
      clusterRule('spare', { fallback: true, spiffeIDTemplate: 'spiffe://example.org/spare' }),
    );
    rules.putRule(clusterRule('db', { podSelector: { matchLabels: { app: 'db' } } }));
    rules.putPod(pod('shop', 'a'));
    rules.putPod(pod('shop', 'b', { labels: { app: 'db' } }));
    rules.settle();
    assert.deepEqual(idsInForce(), [
      'spiffe://example.org/ns/shop/sa/default',
      'spiffe://example.org/spare',
    ]);
    const idle = verdict('shop/b', 'spare');
    assert.equal(idle.kind === 'not-needed' ? idle.by.name : idle.kind, 'db');
    assert.equal(standing('spare').stats.podsSelected, 2);
    rules.deleteRule('uid-db');
    rules.settle();
    assert.deepEqual(idsInForce(), ['spiffe://example.org/spare', 'spiffe://example.org/spare']);
  });

  it('fall back where the other rule fails', () => {
    rules.putRule(clusterRule('bad', { spiffeIDTemplate: '{{ .PodMeta.Nope }}' }));
    rules.putRule(clusterRule('spare', { fallback: true }));
    rules.putPod(pod('shop', 'a'));
    rules.settle();
    assert.deepEqual(idsInForce(), ['spiffe://example.org/ns/shop/sa/default']);
  });

  it('leave ignored namespaces to themselves, and count them', () => {
    rules.putRule(clusterRule('all'));
    rules.putPod(pod('kube-system', 'dns'));
    rules.putPod(pod('shop', 'a'));
    rules.settle();
    assert.equal(verdict('kube-system/dns', 'all').kind, 'ignored');
    assert.deepEqual(standing('all').stats, {
      namespacesSelected: 3,
      namespacesIgnored: 1,
      podsSelected: 1,
      podEntryRenderFailures: 0,
      entriesMasked: 0,
      entriesToSet: 1,
    });
  });

  it('that fail say why, and the others go on', () => {
    rules.putRule(
      clusterRule('bad', {
        spiffeIDTemplate: 'spiffe://example.org/{{ index .PodMeta.Finalizers 0 }}',
      }),
    );
    rules.putRule(clusterRule('good'));
    rules.putPod(pod('shop', 'a'));
    rules.settle();
    const { stats, failure } = standing('bad');
    assert.equal(stats.podEntryRenderFailures, 1);
    assert.match(failure ?? '', /pod shop\/a: spec\.spiffeIDTemplate: line 1: index out of range/);
    assert.deepEqual(idsInForce(), ['spiffe://example.org/ns/shop/sa/default']);
    rules.deletePod('shop/a');
    rules.settle();
    assert.equal(standing('bad').failure, undefined);
  });

  it('of another class do nothing, and say so', () => {
    const from = origin('ClusterSPIFFEID', 'theirs');
    rules.putRule({ kind: 'other-class', origin: from, className: 'theirs' });
    rules.putPod(pod('shop', 'a'));
    assert.deepEqual(rules.settle().upserts, []);
    assert.deepEqual(verdict('shop/a', 'theirs'), { kind: 'other-class', className: 'theirs' });
  });
});

const HOSTILE: readonly (readonly [string, string])[] = [
  ['an ID of another trust domain', 'spiffe://evil.org/ns/x'],
  ['an ID of an agent', 'spiffe://example.org/spire/agent/join_token/x'],
  ['the ID of the server', 'spiffe://example.org/spire/server'],
  ['the reserved area itself', 'spiffe://example.org/spire'],
  ['no path', 'spiffe://example.org'],
  ['control characters', 'spiffe://example.org/a{{ "\\x00" }}'],
  ['a line break', 'spiffe://example.org/a{{ "\\n" }}'],
  ['a path that climbs', 'spiffe://example.org/a/../spire/server'],
  ['an empty segment', 'spiffe://example.org/{{ index .PodMeta.Labels "gone" }}/x'],
  ['an absent label', 'spiffe://example.org/{{ .PodMeta.Labels.gone }}'],
  ['another scheme', 'https://example.org/a'],
  ['nothing', '{{ if false }}x{{ end }}'],
  ['an endless range', 'spiffe://example.org/{{ range 1000000000 }}{{ end }}a'],
  ['a template that calls itself', '{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}'],
];

describe('hostile rules', () => {
  for (const [what, spiffeIDTemplate] of HOSTILE) {
    it(`give no entry with ${what}`, () => {
      rules.putRule(clusterRule('bad', { spiffeIDTemplate }));
      rules.putPod(pod('shop', 'a'));
      assert.deepEqual(rules.settle().upserts, []);
      assert.equal(verdict('shop/a', 'bad').kind, 'failed');
      assert.equal(standing('bad').stats.podEntryRenderFailures, 1);
    });
  }

  it('give no entry with malformed DNS names, selectors or hints', () => {
    const specs = [
      { dnsNameTemplates: ['{{ index .PodMeta.Labels "gone" }}'] },
      { dnsNameTemplates: ['a b'] },
      { workloadSelectorTemplates: ['nocolon'] },
      { workloadSelectorTemplates: ['k8s:'] },
      { hint: 'h'.repeat(1025) },
    ];
    for (const [index, spec] of specs.entries()) rules.putRule(clusterRule(`bad${index}`, spec));
    rules.putPod(pod('shop', 'a'));
    assert.deepEqual(rules.settle().upserts, []);
  });

  it('give no entry below the server, where aliases are, nor below another trust domain', () => {
    for (const parent of ['spiffe://example.org/spire/server', 'spiffe://evil.org/a']) {
      const parentIdTemplate = assertValue(parseTemplate(parent));
      rules = new Derivation({ cluster: { ...CLUSTER, parentIdTemplate }, isIgnored: () => false });
      rules.putNode(node('node-a'));
      rules.putNamespace({ name: 'shop', labels: {} });
      rules.putRule(clusterRule('all'));
      rules.putPod(pod('shop', 'a'));
      assert.deepEqual(rules.settle().upserts, []);
      assert.equal(standing('all').stats.podEntryRenderFailures, 1);
    }
  });

  it('that cannot be read say why', () => {
    rules.putRule(clusterRule('bad', { spiffeIDTemplate: '{{ nope }}' }));
    rules.putPod(pod('shop', 'a'));
    rules.settle();
    const invalid = verdict('shop/a', 'bad');
    assert.match(
      invalid.kind === 'invalid' ? invalid.why : '',
      /spec\.spiffeIDTemplate: line 1: no function "nope"/,
    );
  });
});

describe('WorkloadIdentity', () => {
  const spec = (path: string): object => ({
    spiffeIDTemplate: `spiffe://{{ .TrustDomain }}${path}`,
  });

  it('gives nothing without a grant', () => {
    rules.putRule(workloadIdentity('shop', 'w', { ...spec('/tenant/shop/web') }));
    rules.putPod(pod('shop', 'a'));
    assert.deepEqual(rules.settle().upserts, []);
    const failed = verdict('shop/a', 'w');
    assert.equal(failed.kind === 'failed' ? failed.error.code : failed.kind, 'RULE_PREFIX');
  });

  it('gives what lies below the prefix, on whole segments, to the pods of its namespace alone', () => {
    grant('tenants', '/tenant/{{ .PodMeta.Namespace }}', { matchLabels: { team: 'shop' } });
    rules.putRule(workloadIdentity('shop', 'w1', { ...spec('/tenant/shop/web') }));
    rules.putRule(workloadIdentity('shop', 'w2', { ...spec('/tenant/shopping/web') }));
    rules.putRule(workloadIdentity('shop', 'w3', { ...spec('/tenant/shop') }));
    rules.putRule(workloadIdentity('shop', 'w4', { ...spec('/tenant/bank/web') }));
    rules.putRule(workloadIdentity('bank', 'w5', { ...spec('/tenant/shop/web') }));
    rules.putPod(pod('shop', 'a'));
    rules.putPod(pod('bank', 'a'));
    rules.settle();
    assert.deepEqual(idsInForce(), ['spiffe://example.org/tenant/shop/web']);
    assert.equal(verdict('bank/a', 'w1').kind, 'not-selected');
  });

  it('loses its entries with the grant, and with the label of the namespace', () => {
    grant('tenants', '/t', { matchLabels: { team: 'shop' } });
    rules.putRule(workloadIdentity('shop', 'w', { ...spec('/t/web') }));
    rules.putPod(pod('shop', 'a'));
    assert.equal(rules.settle().upserts.length, 1);
    rules.putNamespace({ name: 'shop', labels: {} });
    assert.equal(rules.settle().deletedIds.length, 1);
    rules.putNamespace({ name: 'shop', labels: { team: 'shop' } });
    assert.equal(rules.settle().upserts.length, 1);
    rules.setGrant('tenants', undefined);
    assert.equal(rules.settle().deletedIds.length, 1);
  });

  it('is not granted the reserved area, nor everything', () => {
    for (const prefix of ['/spire', '/spire/agent', '', '/', 'spire', '/a/', '/a/../b']) {
      grant('g', prefix || '{{ "" }}');
      rules.putRule(workloadIdentity('shop', 'w', { ...spec(`${prefix}/web`) }));
      rules.putPod(pod('shop', 'a'));
      rules.settle();
      assert.deepEqual(idsInForce(), [], prefix);
    }
  });

  it('has no names of services that could also be those of others', () => {
    grant('g', '/t');
    rules.putRule(workloadIdentity('shop', 'w', { ...spec('/t/web'), autoPopulateDNSNames: true }));
    rules.putPod(pod('shop', 'a'));
    rules.setEndpoints('shop/s', { namespace: 'shop', service: 'db', podUids: ['uid-shop-a'] });
    const [{ entry } = assert.fail('no entry')] = rules.settle().upserts;
    assert.deepEqual(entry.dnsNames, ['db.shop.svc', 'db.shop.svc.cluster.local']);
  });

  it('tells its owner nothing of nodes', () => {
    grant('g', '/t');
    rules.putNode({
      name: 'node-a',
      uid: 'uid-node-a',
      json: JSON.stringify({
        metadata: { uid: 'uid-node-a', annotations: { a: 'hush' } },
        spec: { podCIDR: 'hush' },
      }),
    });
    for (const field of ['.NodeMeta.Annotations.a', '.NodeSpec.PodCIDR']) {
      const path = `/t/{{ ${field} }}`;
      rules.putRule(workloadIdentity('shop', 'w', { ...spec(path) }));
      rules.putPod(pod('shop', 'a'));
      rules.settle();
      assert.deepEqual(idsInForce(), []);
      assert.equal(verdict('shop/a', 'w').kind, 'failed');
      assert.doesNotMatch(standing('w').failure ?? '', /hush/);
    }
  });

  it('does not mask a rule of the cluster, however old it is', () => {
    grant('g', '/t');
    const same = spec('/t/web');
    rules.putRule(workloadIdentity('shop', 'mine', { ...same, ttl: '1000h' }));
    rules.putRule(clusterRule('theirs', { ...same, ttl: '1h' }, { createdAtMs: Date.now() }));
    rules.putPod(pod('shop', 'a'));
    const [{ entry, source } = assert.fail('no entry')] = rules.settle().upserts;
    assert.deepEqual([source.rule.name, entry.x509SvidTtlSeconds], ['theirs', 3600]);
    assert.equal(verdict('shop/a', 'mine').kind, 'masked');
  });

  it('has no say over administration, federation, DNS names and selectors', () => {
    grant('g', '/t');
    const more = {
      admin: true,
      downstream: true,
      federatesWith: ['other.org'],
      dnsNameTemplates: ['bank.example.org'],
      workloadSelectorTemplates: ['unix:uid:0'],
    };
    rules.putRule(workloadIdentity('shop', 'w', { ...spec('/t/web'), ...more }));
    rules.putPod(pod('shop', 'a'));
    const [{ entry } = assert.fail('no entry')] = rules.settle().upserts;
    assert.deepEqual([entry.admin, entry.downstream], [false, false]);
    assert.deepEqual([entry.federatesWith, entry.dnsNames], [[], []]);
    assert.equal(entry.selectors.length, 1);
  });
});

describe('ClusterStaticEntry', () => {
  const spec = {
    spiffeID: 'spiffe://example.org/tool',
    parentID: 'spiffe://example.org/spire/server',
    selectors: ['k8s_psat:cluster:rack', 'unix:uid:0'],
  };

  it('gives its entry without pods, and takes it back', () => {
    rules.putRule(staticRule('tool', spec));
    const [{ entry, source } = assert.fail('no entry')] = rules.settle().upserts;
    assert.deepEqual(
      entry.selectors.map(({ text }) => text),
      spec.selectors,
    );
    assert.equal(source.pod, undefined);
    rules.deleteRule('uid-tool');
    assert.deepEqual(rules.settle().deletedIds, [entry.id]);
  });

  it('refuses other trust domains, reserved IDs and missing fields', () => {
    const bad = [
      { spiffeID: 'spiffe://evil.org/x' },
      { spiffeID: 'spiffe://example.org/spire/server' },
      { parentID: 'spiffe://evil.org/x' },
      { selectors: [] },
      { selectors: ['x'] },
      { spiffeID: '' },
      { parentID: 7 },
      { x509SVIDTTL: 'soon' },
    ];
    for (const [index, more] of bad.entries())
      rules.putRule(staticRule(`bad${index}`, { ...spec, ...more }));
    assert.deepEqual(rules.settle().upserts, []);
  });
});

describe('many changes', () => {
  const names = fc.constantFrom('a', 'b', 'c');
  const namespaces = fc.constantFrom('shop', 'bank');
  const change = fc.oneof(
    fc.record({
      do: fc.constant('pod'),
      ns: namespaces,
      name: names,
      app: names,
      at: fc.constantFrom('node-a', 'node-b', ''),
    }),
    fc.record({ do: fc.constant('no-pod'), ns: namespaces, name: names }),
    fc.record({
      do: fc.constant('rule'),
      name: names,
      app: fc.option(names),
      team: fc.option(names),
      fallback: fc.boolean(),
    }),
    fc.record({ do: fc.constant('no-rule'), name: names }),
    fc.record({ do: fc.constant('namespace'), ns: namespaces, team: names }),
    fc.record({ do: fc.constant('node'), name: fc.constantFrom('node-a', 'node-b') }),
    fc.record({ do: fc.constant('no-node'), name: fc.constantFrom('node-a', 'node-b') }),
    fc.record({ do: fc.constant('settle') }),
  );
  type Made = typeof change extends fc.Arbitrary<infer T> ? T : never;

  function ruleOf(made: Extract<Made, { fallback: boolean }>): KnownRule {
    const podSelector =
      made.app === null ? {} : { podSelector: { matchLabels: { app: made.app } } };
    const namespaceSelector =
      made.team === null ? {} : { namespaceSelector: { matchLabels: { team: made.team } } };
    return clusterRule(made.name, {
      ...podSelector,
      ...namespaceSelector,
      fallback: made.fallback,
    });
  }

  function apply(to: Derivation, made: Made): void {
    if ('at' in made)
      to.putPod(pod(made.ns, made.name, { labels: { app: made.app }, nodeName: made.at }));
    else if ('fallback' in made) to.putRule(ruleOf(made));
    else if ('team' in made) to.putNamespace({ name: made.ns, labels: { team: made.team } });
    else if ('ns' in made) to.deletePod(`${made.ns}/${made.name}`);
    else if (!('name' in made)) to.settle();
    else if (made.do === 'no-rule') to.deleteRule(`uid-${made.name}`);
    else if (made.do === 'node') to.putNode(node(made.name));
    else to.deleteNode(made.name);
  }

  it('give the same entries and counts as looking at everything at once', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const [stepwise, atOnce] = [derivation(), derivation()];
        const published = new Map<string, bigint>();
        const follow = (): void => {
          const { upserts, deletedIds } = stepwise.settle();
          for (const id of deletedIds) assert.ok(published.delete(id));
          for (const { entry } of upserts) published.set(entry.id, entry.revision);
        };
        for (const made of changes) {
          apply(stepwise, made);
          if (made.do === 'settle') continue;
          apply(atOnce, made);
          follow();
        }
        follow();
        atOnce.settle();
        assert.deepEqual(idsInForce(stepwise), idsInForce(atOnce));
        assert.equal(published.size, atOnce.entryCount);
        const stats = (of: Derivation): readonly unknown[] =>
          [...of.standings()].map(({ known, stats: counts }) => [known.origin.name, counts]);
        assert.deepEqual(stats(stepwise), stats(atOnce));
      }),
    );
  });
});
