import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { clusterRule, derivation, node, pod } from '../../test/support/kube-rules.ts';
import { agentRecord, START_SECONDS as NOW, openState } from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import { DEFAULT_MAX_STALENESS_MS, type PolicyContext } from '../policy/context.ts';
import { recheckGrant } from '../policy/recheck.ts';
import type { AgentRecord } from '../rules/entry.ts';
import type { JsonObject } from '../rules/kube/fields.ts';
import type { ZonePolicy } from '../rules/zones.ts';
import { type PodClaim, PodIdentities, type PodVerdict, type PodWish } from './pod-identity.ts';

const CLAIM: PodClaim = {
  namespace: 'shop',
  name: 'web',
  uid: 'uid-shop-web',
  nodeName: 'node-a',
  nodeUid: 'uid-node-a',
  serviceAccountName: 'web',
  serviceAccountUid: 'uid-account',
};
const AGENT = 'k8s_psat/rack/uid-node-a';
const WEB = 'spiffe://example.org/ns/shop/sa/web';

interface Setting {
  readonly agent?: Partial<AgentRecord> | 'none';
  readonly zones?: ZonePolicy;
  readonly requireAttestedNode?: boolean;
  readonly rules?: readonly JsonObject[];
}

async function rig(context: TestContext, setting: Setting = {}) {
  const { agent = {}, zones, requireAttestedNode = true, rules = [{}] } = setting;
  const { registry, clock } = await openState(context);
  if (agent !== 'none') {
    const record = agentRecord(AGENT, agent);
    const write = { agent: record, aliasEntry: undefined, joinTokenAnswer: undefined };
    unwrap(await registry.recordAttestation(write));
  }
  const derived = derivation();
  derived.putNode(node('node-a'));
  derived.putNamespace({ name: 'shop', labels: {} });
  for (const [index, spec] of rules.entries()) derived.putRule(clusterRule(`r${index}`, spec));
  derived.putPod(pod('shop', 'web', { sa: 'web' }));
  derived.putPod(pod('shop', 'waits', { sa: 'web', nodeName: '' }));
  registry.derived.apply(derived.settle());
  const policy: PolicyContext = {
    registry,
    clock,
    adminIds: [],
    serverUid: 0,
    adminGid: undefined,
    maxStalenessMs: DEFAULT_MAX_STALENESS_MS,
    zones,
  };
  const state = { isReady: true, synced: true, listed: true };
  let names: readonly string[] = ['web.shop.svc', 'web.shop.svc.cluster.local'];
  const setNames = (next: readonly string[]): void => {
    names = next;
  };
  const identities = new PodIdentities({
    pods: {
      get isReady() {
        return state.isReady;
      },
      entriesOf: (key) => derived.entriesOf(key),
      podsOn: (name) => derived.podsOn(name),
      node: (name) => derived.node(name),
      onSettled: () => () => {},
    },
    serviceAccounts: {
      get synced() {
        return state.synced;
      },
      get: (key) => (key === 'shop/web' ? 'uid-account' : undefined),
    },
    services: {
      get synced() {
        return state.listed;
      },
      namesOf: () => names,
    },
    policy,
    requireAttestedNode,
  });
  const resolve = (claim: Partial<PodClaim> = {}, wish: Partial<PodWish> = {}): PodVerdict =>
    identities.resolve({ ...CLAIM, ...claim }, { requestedBy: 'test:rack', ...wish });
  const who = (claim: Partial<PodClaim>): string => {
    const found = identities.who({ ...CLAIM, ...claim });
    return found.kind === 'found' ? 'found' : `${found.kind} ${found.error.code}`;
  };
  const podsOn = (...where: Parameters<PodIdentities['podsOn']>): readonly string[] =>
    identities.podsOn(...where).map(({ name }) => name);
  return { who, podsOn, resolve, registry, derived, policy, state, clock, setNames };
}

function told(verdict: PodVerdict): string {
  return verdict.kind === 'granted' ? 'granted' : `${verdict.kind} ${verdict.error.code}`;
}

describe('a pod that an object of Kubernetes names', () => {
  it('has the identity of its rule, through the agent of its node', async (context) => {
    const { resolve } = await rig(context);
    const verdict = resolve({}, { maxLifeSeconds: 3600, notBeforeSeconds: NOW });
    assert.ok(verdict.kind === 'granted');
    const { grant, source } = verdict;
    assert.equal(grant.spiffeId.uri, WEB);
    assert.equal(grant.agentId?.uri, `spiffe://example.org/spire/agent/${AGENT}`);
    assert.equal(grant.agentAttestedAtSeconds, NOW);
    assert.equal(grant.requestedBy, 'test:rack');
    assert.deepEqual(grant.pod, { uid: 'uid-shop-web', rule: 'ClusterSPIFFEID/r0' });
    assert.deepEqual([grant.maxLifeSeconds, grant.notBeforeSeconds], [3600, NOW]);
    assert.equal(source.pod, 'shop/web');
  });

  const forged: readonly [string, Partial<PodClaim>, string][] = [
    ['another service account', { serviceAccountName: 'root' }, 'refused POD_MISMATCH'],
    ['another node', { nodeName: 'node-b' }, 'refused POD_MISMATCH'],
    ['another UID of the service account', { serviceAccountUid: 'x' }, 'hold POD_UNKNOWN'],
    ['another UID of the node', { nodeUid: 'x' }, 'hold POD_UNKNOWN'],
    ['another UID of the pod', { uid: 'x' }, 'hold POD_UNKNOWN'],
    ['no UID of the pod', { uid: '' }, 'hold POD_UNKNOWN'],
    ['no node', { nodeName: '' }, 'refused POD_MISMATCH'],
    ['another namespace', { namespace: 'bank' }, 'hold POD_UNKNOWN'],
    ['a name that no pod has', { name: 'none' }, 'hold POD_UNKNOWN'],
    ['a pod without a node', { name: 'waits', uid: 'uid-shop-waits' }, 'hold POD_UNKNOWN'],
  ];
  for (const [what, claim, outcome] of forged) {
    it(`gets nothing with ${what}`, async (context) => {
      const { resolve } = await rig(context);
      assert.equal(told(resolve(claim)), outcome);
    });
  }

  it('is not judged before pods, rules and service accounts are read', async (context) => {
    const { resolve, state } = await rig(context);
    state.isReady = false;
    assert.equal(told(resolve()), 'wait POD_RULES_PENDING');
    state.isReady = true;
    state.synced = false;
    assert.equal(told(resolve()), 'wait POD_RULES_PENDING');
    assert.equal(told(resolve({ serviceAccountUid: undefined })), 'granted');
  });

  it('gets nothing without a rule, nor when its pod is gone', async (context) => {
    const { resolve, derived, registry } = await rig(context, {
      rules: [{ podSelector: { matchLabels: { id: 'yes' } } }],
    });
    assert.equal(told(resolve()), 'hold POD_NO_IDENTITY');
    derived.deletePod('shop/web');
    registry.derived.apply(derived.settle());
    assert.equal(told(resolve()), 'hold POD_UNKNOWN');
  });

  it('says which it is where it has several identities', async (context) => {
    const other = 'spiffe://example.org/other';
    const { resolve } = await rig(context, { rules: [{}, { spiffeIDTemplate: other }] });
    assert.equal(told(resolve()), 'hold POD_CHOICE');
    assert.equal(told(resolve({}, { spiffeId: 'spiffe://example.org/third' })), 'hold POD_CHOICE');
    const verdict = resolve({}, { spiffeId: other });
    assert.equal(verdict.kind === 'granted' && verdict.grant.spiffeId.uri, other);
  });

  it('has DNS names of its entry, and no others', async (context) => {
    const { resolve } = await rig(context, { rules: [{ dnsNameTemplates: ['a.test', 'b.test'] }] });
    const all = resolve();
    assert.deepEqual(all.kind === 'granted' && all.grant.dnsNames, ['a.test', 'b.test']);
    const one = resolve({}, { dnsNames: ['b.test'] });
    assert.deepEqual(one.kind === 'granted' && one.grant.dnsNames, ['b.test']);
    assert.equal(told(resolve({}, { dnsNames: ['b.test', 'c.test'] })), 'hold POD_DNS_NAMES');
  });

  it('has the names of its services in place of its own where they are asked for', async (context) => {
    const { resolve, setNames, state } = await rig(context, {
      rules: [{ dnsNameTemplates: ['a.test'] }],
    });
    const namesOf = (wish: Partial<PodWish>): unknown => {
      const verdict = resolve({}, { ofServices: true, ...wish });
      return verdict.kind === 'granted' ? verdict.grant.dnsNames : told(verdict);
    };
    assert.deepEqual(namesOf({}), ['web.shop.svc', 'web.shop.svc.cluster.local']);
    assert.deepEqual(namesOf({ dnsNames: ['web.shop.svc'] }), ['web.shop.svc']);
    assert.equal(namesOf({ dnsNames: ['a.test'] }), 'hold POD_DNS_NAMES');
    assert.deepEqual(namesOf({ ofServices: false }), ['a.test']);
    assert.equal(namesOf({ ofServices: false, dnsNames: ['web.shop.svc'] }), 'hold POD_DNS_NAMES');
    setNames([]);
    assert.equal(namesOf({}), 'hold POD_NO_SERVICE');
    setNames(Array.from({ length: 65 }, (_, index) => `s${index}.shop.svc`));
    assert.equal(namesOf({}), 'refused DNS_NAMES_TOO_MANY');
    state.listed = false;
    assert.equal(namesOf({}), 'wait POD_RULES_PENDING');
    assert.deepEqual(namesOf({ ofServices: undefined }), ['a.test']);
  });

  it('is told apart from others on its node by its service account', async (context) => {
    const { derived, who, podsOn } = await rig(context);
    derived.putPod(pod('shop', 'web-2', { sa: 'web', nodeName: 'node-b' }));
    derived.putPod(pod('bank', 'web', { sa: 'web' }));
    assert.deepEqual(podsOn('node-a', 'shop', 'web'), ['web']);
    assert.deepEqual(podsOn('node-b', 'shop', 'web'), ['web-2']);
    assert.deepEqual(podsOn('node-a', 'shop', 'other'), []);
    assert.deepEqual(podsOn('node-c', 'shop', 'web'), []);
    assert.equal(who({}), 'found');
    assert.equal(who({ uid: 'x' }), 'hold POD_UNKNOWN');
    assert.equal(who({ nodeName: 'node-b' }), 'refused POD_MISMATCH');
  });

  const nodes: readonly [string, Partial<AgentRecord> | 'none', string][] = [
    ['has no agent', 'none', 'hold POD_NODE_NOT_ATTESTED'],
    ['has a banned agent', { banned: true }, 'refused AGENT_BANNED'],
    ['has an agent whose SVID ends now', { expiresAtSeconds: NOW }, 'hold POD_NODE_NOT_ATTESTED'],
    ['has an agent for another second', { expiresAtSeconds: NOW + 1 }, 'granted'],
  ];
  for (const [what, agent, outcome] of nodes) {
    it(`is answered "${outcome}" where its node ${what}`, async (context) => {
      const { resolve } = await rig(context, { agent });
      assert.equal(told(resolve()), outcome);
    });
  }

  it('may have a node without an agent where configuration says so', async (context) => {
    const without = await rig(context, { agent: 'none', requireAttestedNode: false });
    const verdict = without.resolve();
    assert.ok(verdict.kind === 'granted');
    assert.equal(verdict.grant.agentId, undefined);
    assert.deepEqual(recheckGrant(verdict.grant, without.policy), { ok: true, value: undefined });
  });

  it('may not have a node with a banned agent, whatever configuration says', async (context) => {
    const { resolve } = await rig(context, { agent: { banned: true }, requireAttestedNode: false });
    assert.equal(told(resolve()), 'refused AGENT_BANNED');
  });

  it('has to meet the demands of zones, with an agent and without', async (context) => {
    const rules = [{ path: '/ns/shop', zones: [1], mint: false }];
    const right = { rules, nodes: [{ path: '/spire/agent/k8s_psat/rack', zone: 1 }] };
    const wrong = { rules, nodes: [{ path: '/spire/agent/k8s_psat/rack', zone: 2 }] };
    assert.equal(told((await rig(context, { zones: right })).resolve()), 'granted');
    assert.equal(told((await rig(context, { zones: wrong })).resolve()), 'refused ZONE_NOT_MET');
    const bare = { agent: 'none', requireAttestedNode: false, zones: right } as const;
    assert.equal(told((await rig(context, bare)).resolve()), 'refused ZONE_NOT_MET');
  });

  it('loses its grant when the rule changes or the agent is banned meanwhile', async (context) => {
    for (const setting of [{}, { agent: 'none', requireAttestedNode: false } as const]) {
      const { resolve, derived, registry, policy } = await rig(context, setting);
      const verdict = resolve();
      assert.ok(verdict.kind === 'granted');
      derived.putRule(clusterRule('r0', { ttl: '2h' }));
      registry.derived.apply(derived.settle());
      const still = recheckGrant(verdict.grant, policy);
      assert.equal(still.ok || still.error.code, 'GRANT_OUTDATED');
    }
  });
});
