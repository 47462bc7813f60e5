import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { CLUSTER, clusterRule, derivation, node, pod } from '../../../test/support/kube-rules.ts';
import { agentRecord, openState } from '../../../test/support/state.ts';
import { makeCsr, makeKey, sanExtension, type TestCsrOptions } from '../../../test/support/x509.ts';
import { fail, ok, type Result, unwrap } from '../../base/result.ts';
import { encodePem } from '../../der/pem.ts';
import { contextPrimitive } from '../../der/tags.ts';
import { derAscii, derElement } from '../../der/writer.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { DEFAULT_MAX_STALENESS_MS, type PolicyContext } from '../../policy/context.ts';
import type { Registry } from '../../registry/registry.ts';
import type { JsonObject } from '../../rules/kube/fields.ts';
import { parsePrefixGrant } from '../../rules/kube/pod-rule.ts';
import type { ZonePolicy } from '../../rules/zones.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import { PodIdentities } from '../pod-identity.ts';
import { type IssuerObject, issuerFrom } from './issuer-object.ts';
import { judgeRequest } from './judge.ts';
import type { IssuerKind } from './kinds.ts';
import { certificateRequestFrom, type SigningRequest, signingRequestFrom } from './request.ts';
import type { IssuerSettings } from './settings.ts';

const KEY = makeKey();
const WEB = 'spiffe://example.org/ns/shop/sa/web';
const OWN = 'spiffe://example.org/tenant/shop/gate';
const APPROVED = { conditions: [{ type: 'Approved', status: 'True' }] };
const SAID = 'authentication.kubernetes.io';
const MADE_BY_POD = {
  username: 'system:serviceaccount:shop:web',
  uid: 'uid-account',
  extra: {
    [`${SAID}/pod-name`]: ['web'],
    [`${SAID}/pod-uid`]: ['uid-shop-web'],
    [`${SAID}/node-name`]: ['node-a'],
  },
};

function text(options: TestCsrOptions = {}): string {
  const der = makeCsr({ key: KEY, uris: [OWN], ...options });
  return Buffer.from(encodePem('CERTIFICATE REQUEST', der)).toString('base64');
}

function object(spec: object, namespace = 'shop'): KubeObject {
  return {
    metadata: { name: 'r', namespace, uid: 'uid-r', resourceVersion: '1' },
    spec: {
      request: text(),
      issuerRef: { group: 'signet.dev', kind: 'SignetIssuer', name: 'ca' },
      ...spec,
    },
    status: APPROVED,
  };
}

function request(spec: object = {}, namespace = 'shop'): SigningRequest {
  return certificateRequestFrom(object(spec, namespace)) ?? assert.fail('no request of ours');
}

function signing(spec: object = {}): SigningRequest {
  const signerName = 'signetissuers.signet.dev/shop.ca';
  const whole = object({ signerName, ...spec }, '');
  return signingRequestFrom(whole) ?? assert.fail('no request of ours');
}

const CLUSTER_ISSUER = { group: 'signet.dev', kind: 'SignetClusterIssuer', name: 'edge' };
const ALLOWED: JsonObject = {
  certificates: [{ pathPrefix: '/tenant/shop', dnsNames: ['*.shop.svc', 'a.test'], ttl: '3h' }],
};
const EDGE: JsonObject = {
  certificates: [
    {
      namespaceSelector: { matchLabels: { edge: 'yes' } },
      pathPrefix: '/edge/{{ .PodMeta.Namespace }}',
      dnsNames: ['*.{{ .PodMeta.Namespace }}.test'],
    },
  ],
};

interface Setting {
  readonly settings?: Partial<IssuerSettings>;
  readonly issuer?: JsonObject;
  readonly edge?: JsonObject;
  readonly agent?: 'banned' | 'quarantined' | 'none';
  readonly zones?: ZonePolicy;
  readonly prefix?: string;
  readonly limit?: readonly string[];
}

function issuerOf(kind: IssuerKind, namespace: string, name: string, spec: JsonObject) {
  const filter = { className: '', watchClassless: true };
  const metadata = { name, namespace, uid: `uid-${name}`, generation: 1 };
  return issuerFrom(kind, { metadata, spec }, filter) ?? assert.fail('of another class');
}

/** A registry in which the DPU of every agent is out. */
function quarantining(registry: Registry): Registry {
  return new Proxy(registry, {
    get(target, key) {
      if (key === 'agent') {
        return (id: SpiffeId) => ({ ...target.agent(id), quarantine: 'as the test says' });
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function rig(context: TestContext, setting: Setting = {}) {
  const {
    settings,
    issuer = ALLOWED,
    edge = EDGE,
    agent,
    zones,
    prefix = '/tenant/shop',
  } = setting;
  const { registry, clock } = await openState(context);
  if (agent !== 'none') {
    const record = agentRecord('k8s_psat/rack/uid-node-a', { banned: agent === 'banned' });
    const write = { agent: record, aliasEntry: undefined, joinTokenAnswer: undefined };
    unwrap(await registry.recordAttestation(write));
  }
  const derived = derivation();
  derived.putNode(node('node-a'));
  derived.putNamespace({ name: 'shop', labels: { edge: 'yes' } });
  derived.putNamespace({ name: 'bank', labels: {} });
  if (prefix !== '') {
    derived.setGrant('tenants', unwrap(parsePrefixGrant('tenants', { pathPrefix: prefix })));
  }
  derived.putRule(clusterRule('r0', { dnsNameTemplates: ['web.test'] }));
  derived.putPod(pod('shop', 'web', { sa: 'web' }));
  registry.derived.apply(derived.settle());
  const policy: PolicyContext = {
    registry: agent === 'quarantined' ? quarantining(registry) : registry,
    ...{ clock, zones },
    ...{ adminIds: [], serverUid: 0, adminGid: undefined },
    maxStalenessMs: DEFAULT_MAX_STALENESS_MS,
  };
  const identities = new PodIdentities({
    pods: {
      isReady: true,
      entriesOf: (key) => derived.entriesOf(key),
      node: (name) => derived.node(name),
      podsOn: () => [],
      onSettled: () => () => {},
    },
    serviceAccounts: { synced: true, get: () => 'uid-account' },
    policy,
    requireAttestedNode: true,
  });
  const issuers: Record<string, IssuerObject> = {
    'shop/ca': issuerOf('SignetIssuer', 'shop', 'ca', issuer),
    edge: issuerOf('SignetClusterIssuer', '', 'edge', edge),
  };
  const find = ({ namespace, name }: SigningRequest['issuer']): Result<IssuerObject> => {
    const found = issuers[namespace === '' ? name : `${namespace}/${name}`];
    return found === undefined ? fail('ISSUER_UNKNOWN', 'as the test says') : ok(found);
  };
  const judge = {
    cluster: 'rack',
    settings: {
      podRequests: true,
      controllerAccounts: ['cert-manager/cert-manager'],
      ...settings,
    },
    issuer: find,
    identities,
    namespaces: {
      facts: { ...CLUSTER, pathPrefixes: setting.limit ?? [] },
      namespace: (name: string) => derived.namespace(name),
    },
    policy,
  };
  const plan = (asked: SigningRequest) => judgeRequest(asked, judge);
  const told = (asked: SigningRequest): string => {
    const made = plan(asked);
    return made.kind === 'issue'
      ? `issue ${made.grant.spiffeId.uri}`
      : `${made.kind} ${made.error.code}`;
  };
  return { plan, told };
}

describe('a request that no pod makes', () => {
  it('gets what its issuer gives, for as long as both say', async (context) => {
    const { plan } = await rig(context);
    const dnsNames = ['web.shop.svc'];
    const made = plan(request({ request: text({ dnsNames }), duration: '2h0m0s' }));
    assert.ok(made.kind === 'issue');
    const { grant } = made;
    assert.equal(grant.spiffeId.uri, OWN);
    assert.deepEqual(grant.dnsNames, dnsNames);
    assert.deepEqual([grant.ttlSeconds, grant.maxLifeSeconds], [10_800, 7_200]);
    assert.equal(grant.requestedBy, 'certificate-request:rack/shop:SignetIssuer/shop/ca');
    assert.deepEqual([grant.entry, grant.agentId, grant.pod], [undefined, undefined, undefined]);
  });

  const cases: readonly (readonly [what: string, spec: object, outcome: string])[] = [
    [
      'an ID that is the prefix itself, at a cluster issuer',
      { issuerRef: CLUSTER_ISSUER, request: text({ uris: ['spiffe://example.org/edge/shop'] }) },
      'issue spiffe://example.org/edge/shop',
    ],
    [
      'the ID of another namespace',
      { issuerRef: CLUSTER_ISSUER, request: text({ uris: ['spiffe://example.org/edge/bank'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    [
      'an ID beside the prefix',
      { request: text({ uris: ['spiffe://example.org/tenant/shopping/x'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    [
      'an ID that only starts like the prefix of the cluster',
      {
        issuerRef: CLUSTER_ISSUER,
        request: text({ uris: ['spiffe://example.org/edge/shopping'] }),
      },
      'refused ISSUER_NOT_ALLOWED',
    ],
    ['the ID of a pod', { request: text({ uris: [WEB] }) }, 'refused ISSUER_NOT_ALLOWED'],
    [
      'the ID of the server',
      { request: text({ uris: ['spiffe://example.org/spire/server'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    [
      'the trust domain itself',
      { request: text({ uris: ['spiffe://example.org'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    [
      'another trust domain',
      { request: text({ uris: ['spiffe://example.com/tenant/shop/x'] }) },
      'refused ISSUER_NAMES',
    ],
    ['no URI', { request: text({ uris: [] }) }, 'refused ISSUER_NAMES'],
    ['two URIs', { request: text({ uris: [OWN, `${OWN}/2`] }) }, 'refused ISSUER_NAMES'],
    ['the same URI twice', { request: text({ uris: [OWN, OWN] }) }, 'refused ISSUER_NAMES'],
    [
      'a URI that is no SPIFFE ID',
      { request: text({ uris: ['https://example.org/tenant/shop/x'] }) },
      'refused ISSUER_NAMES',
    ],
    [
      'a DNS name that the issuer does not give',
      { request: text({ dnsNames: ['b.test'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    [
      'a DNS name beside one that it gives',
      { request: text({ dnsNames: ['web.shop.svc', 'b.test'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    [
      'a DNS name of no service, though its owner gives it',
      { request: text({ dnsNames: ['a.test'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    [
      'a DNS name of two labels for one *',
      { request: text({ dnsNames: ['x.web.shop.svc'] }) },
      'refused ISSUER_NOT_ALLOWED',
    ],
    ['a wildcard', { request: text({ dnsNames: ['*.shop.svc'] }) }, 'refused ISSUER_NOT_ALLOWED'],
    [
      'a DNS name at a cluster issuer',
      {
        issuerRef: CLUSTER_ISSUER,
        request: text({ uris: ['spiffe://example.org/edge/shop'], dnsNames: ['X.shop.test'] }),
      },
      'issue spiffe://example.org/edge/shop',
    ],
    [
      '64 DNS names',
      { request: text({ dnsNames: Array.from({ length: 64 }, (_, n) => `a${n}.shop.svc`) }) },
      `issue ${OWN}`,
    ],
    [
      '65 DNS names, one of which it does not give',
      {
        request: text({
          dnsNames: [...Array.from({ length: 64 }, (_, n) => `a${n}.shop.svc`), 'b.test'],
        }),
      },
      'refused DNS_NAMES_TOO_MANY',
    ],
    [
      'what reads like an address',
      { request: text({ dnsNames: ['10.0.0.1'] }) },
      'refused DNS_NAME_INVALID',
    ],
    [
      'a DNS name with a dot at its end',
      { request: text({ dnsNames: ['web.shop.svc.'] }) },
      'refused DNS_NAME_INVALID',
    ],
    ['a CA', { isCA: true }, 'refused ISSUER_CA'],
    ['the usage of a CA', { usages: ['digital signature', 'cert sign'] }, 'refused ISSUER_CA'],
    ['any usage', { usages: ['any'] }, 'refused ISSUER_USAGE'],
    [
      'usages of SVIDs',
      { usages: ['digital signature', 'key encipherment', 'server auth', 'client auth'] },
      `issue ${OWN}`,
    ],
    ['599 s', { duration: '599s' }, 'refused ISSUER_LIFE'],
    ['600 s', { duration: '600s' }, `issue ${OWN}`],
    ['a life before it begins', { duration: '-2h' }, 'refused ISSUER_LIFE'],
    ['a life that is none', { duration: 'soon' }, 'refused ISSUER_LIFE'],
    ['nothing', { request: '' }, 'refused ISSUER_REQUEST'],
    ['garbage', { request: Buffer.from('garbage').toString('base64') }, 'refused ISSUER_REQUEST'],
    [
      'two certificate requests',
      {
        request: Buffer.from(Buffer.from(text(), 'base64').toString().repeat(2)).toString('base64'),
      },
      'refused ISSUER_REQUEST',
    ],
    [
      'a certificate',
      { request: Buffer.from(encodePem('CERTIFICATE', makeCsr({ key: KEY }))).toString('base64') },
      'refused ISSUER_REQUEST',
    ],
    [
      '65 KiB',
      { request: Buffer.alloc(65 * 1024, 'A').toString('base64') },
      'refused ISSUER_REQUEST',
    ],
    [
      'an issuer that is not there',
      { issuerRef: { ...CLUSTER_ISSUER, name: 'none' } },
      'standby ISSUER_UNKNOWN',
    ],
    [
      'something as the controller of cert-manager, which has a pod too',
      { ...MADE_BY_POD, username: 'system:serviceaccount:cert-manager:cert-manager' },
      `issue ${OWN}`,
    ],
  ];
  it('is answered by what it asks for', async (context) => {
    const { told } = await rig(context);
    for (const [what, spec, outcome] of cases) {
      assert.deepEqual([what, told(request(spec))], [what, outcome]);
    }
  });

  it('gets nothing from an issuer that gives nothing, nor without a grant of the prefix', async (context) => {
    assert.equal(
      (await rig(context, { issuer: {} })).told(request()),
      'refused ISSUER_NOT_ALLOWED',
    );
    for (const prefix of ['', '/tenant/shop/gate', '/tenant/{{ .PodMeta.Namespace }}ping']) {
      const { told } = await rig(context, { prefix });
      assert.equal(told(request()), 'refused ISSUER_NOT_ALLOWED');
    }
  });

  it('gets nothing from a cluster issuer that selects other namespaces', async (context) => {
    const { told } = await rig(context);
    const uris = ['spiffe://example.org/edge/bank'];
    const asked = { issuerRef: CLUSTER_ISSUER, request: text({ uris }) };
    assert.equal(told(request(asked, 'bank')), 'refused ISSUER_NOT_ALLOWED');
    assert.equal(told(request(asked, 'unknown')), 'later ISSUER_REQUESTER');
  });

  it('gets nothing that only workloads must not have, whatever the issuer gives', async (context) => {
    const edge = { certificates: [{ pathPrefix: '/spire' }] };
    const { told } = await rig(context, { edge });
    const uris = ['spiffe://example.org/spire/agent/x'];
    const asked = { issuerRef: CLUSTER_ISSUER, request: text({ uris }) };
    assert.equal(told(request(asked)), 'refused GRANT_SPIFFE_ID');
  });

  it('gets no name that is neither URI nor DNS name', async (context) => {
    const { told } = await rig(context);
    const uri = derAscii(contextPrimitive(6), OWN);
    const others = [
      derAscii(contextPrimitive(1), 'a@example.org'),
      derElement(contextPrimitive(7), Uint8Array.of(10, 0, 0, 1)),
    ];
    const asked = (names: readonly Uint8Array[]) =>
      request({ request: text({ uris: [], extraExtensions: [sanExtension(names)] }) });
    assert.equal(told(asked([uri])), `issue ${OWN}`);
    for (const other of others) assert.equal(told(asked([uri, other])), 'refused ISSUER_NAMES');
  });

  it('gets nothing outside the paths of its cluster', async (context) => {
    const outside = await rig(context, { limit: ['/ns', '/tenant/shop/gate'] });
    assert.equal(outside.told(request()), 'refused RULE_LIMIT');
    const inside = await rig(context, { limit: ['/ns', '/tenant'] });
    assert.equal(inside.told(request()), `issue ${OWN}`);
  });

  it('gets nothing that zones demand anything of, since no node vouches for it', async (context) => {
    const zones = { rules: [{ path: '/tenant', zones: [1], mint: false }], nodes: [] };
    assert.equal((await rig(context, { zones })).told(request()), 'refused ZONE_NOT_MET');
  });
});

describe('a request that a pod makes', () => {
  const own = { ...MADE_BY_POD, request: text({ uris: [WEB], dnsNames: ['web.test'] }) };

  it('gets the identity of that pod, through the agent of its node', async (context) => {
    const made = (await rig(context)).plan(request({ ...own, duration: '1h' }));
    assert.ok(made.kind === 'issue');
    const { grant } = made;
    assert.equal(grant.spiffeId.uri, WEB);
    assert.deepEqual(grant.dnsNames, ['web.test']);
    assert.equal(grant.maxLifeSeconds, 3600);
    assert.ok(grant.agentId?.uri.endsWith('/k8s_psat/rack/uid-node-a'));
    assert.deepEqual(grant.pod, { uid: 'uid-shop-web', rule: 'ClusterSPIFFEID/r0' });
  });

  it('gets none of the DNS names that it does not ask for', async (context) => {
    const made = (await rig(context)).plan(request({ ...own, request: text({ uris: [WEB] }) }));
    assert.deepEqual(made.kind === 'issue' && made.grant.dnsNames, []);
  });

  const extra = (more: object) => ({ ...own, extra: { ...MADE_BY_POD.extra, ...more } });
  const cases: readonly (readonly [what: string, spec: object, outcome: string])[] = [
    ['another ID, even one that the issuer gives', { ...own, request: text() }, 'later POD_CHOICE'],
    [
      'other DNS names',
      { ...own, request: text({ uris: [WEB], dnsNames: ['b.test'] }) },
      'later POD_DNS_NAMES',
    ],
    ['another UID of the pod', extra({ [`${SAID}/pod-uid`]: ['x'] }), 'later POD_UNKNOWN'],
    ['a pod that is gone', extra({ [`${SAID}/pod-name`]: ['gone'] }), 'later POD_UNKNOWN'],
    ['another node', extra({ [`${SAID}/node-name`]: ['node-b'] }), 'refused POD_MISMATCH'],
    [
      'two nodes',
      extra({ [`${SAID}/node-name`]: ['node-a', 'node-b'] }),
      'refused ISSUER_REQUESTER',
    ],
    ['two pods', extra({ [`${SAID}/pod-name`]: ['web', 'api'] }), 'refused ISSUER_REQUESTER'],
    ['a pod without a UID', extra({ [`${SAID}/pod-uid`]: [''] }), 'refused ISSUER_REQUESTER'],
    [
      'another service account',
      { ...own, username: 'system:serviceaccount:shop:root' },
      'refused POD_MISMATCH',
    ],
    ['another UID of the service account', { ...own, uid: 'x' }, 'later POD_UNKNOWN'],
    [
      'a service account of another namespace',
      { ...own, username: 'system:serviceaccount:bank:web' },
      'refused ISSUER_REQUESTER',
    ],
    [
      'somebody who is no service account',
      { ...own, username: 'alice' },
      'refused ISSUER_REQUESTER',
    ],
    [
      'a service account of three parts',
      { ...own, username: 'system:serviceaccount:shop:web:x' },
      'refused ISSUER_REQUESTER',
    ],
  ];
  it('is answered by who it says has made it, as the server sees them', async (context) => {
    const { told } = await rig(context);
    for (const [what, spec, outcome] of cases) {
      assert.deepEqual([what, told(request(spec))], [what, outcome]);
    }
  });

  it('gets nothing where configuration does not believe who is said to have made it', async (context) => {
    const { told } = await rig(context, { settings: { podRequests: false } });
    assert.equal(told(request(own)), 'refused ISSUER_REQUESTER');
    // The API server itself says so of these.
    assert.equal(told(signing(own)), `issue ${WEB}`);
  });

  const nodes = [
    ['banned', 'refused AGENT_BANNED'],
    ['quarantined', 'refused AGENT_QUARANTINED'],
    ['none', 'later POD_NODE_NOT_ATTESTED'],
  ] as const;
  for (const [agent, outcome] of nodes) {
    it(`is answered "${outcome}" where the agent of its node is ${agent}`, async (context) => {
      assert.equal((await rig(context, { agent })).told(request(own)), outcome);
    });
  }

  it('has to meet the demands of zones', async (context) => {
    const rules = [{ path: '/ns/shop', zones: [1], mint: false }];
    const nodes = (zone: number) => [{ path: '/spire/agent/k8s_psat/rack', zone }];
    const right = await rig(context, { zones: { rules, nodes: nodes(1) } });
    assert.equal(right.told(request(own)), `issue ${WEB}`);
    const wrong = await rig(context, { zones: { rules, nodes: nodes(2) } });
    assert.equal(wrong.told(request(own)), 'refused ZONE_NOT_MET');
  });
});

describe('a signing request of Kubernetes', () => {
  const account = { username: 'system:serviceaccount:shop:web' };

  it('of a service account without a pod gets what the issuer gives its namespace', async (context) => {
    const { told } = await rig(context);
    assert.equal(told(signing(account)), `issue ${OWN}`);
    const foreign = { username: 'system:serviceaccount:bank:web' };
    assert.equal(told(signing(foreign)), 'refused ISSUER_REQUESTER');
    const own = { ...MADE_BY_POD, username: 'system:serviceaccount:bank:web' };
    assert.equal(told(signing(own)), 'refused ISSUER_REQUESTER');
  });

  it('of somebody who is of no namespace gets nothing', async (context) => {
    const { told } = await rig(context);
    const signerName = 'signetclusterissuers.signet.dev/edge';
    for (const username of ['', 'alice', 'system:node:node-a']) {
      assert.equal(told(signing({ username })), 'refused ISSUER_REQUESTER');
      assert.equal(told(signing({ username, signerName })), 'refused ISSUER_REQUESTER');
    }
  });

  it('is never for the controller of cert-manager by its name', async (context) => {
    const settings = { controllerAccounts: ['shop/web'] };
    const own = { ...MADE_BY_POD, request: text({ uris: [WEB] }) };
    assert.equal((await rig(context, { settings })).told(signing(own)), `issue ${WEB}`);
  });
});
