import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unwrap } from '../../base/result.ts';
import { parseConnectorGroup } from './connector-group.ts';
import { parseConnectorSegment } from './connector-segment.ts';
import type { JsonObject } from './fields.ts';

const EDGE = { cluster: 'rack', namespace: 'net', name: 'edge' };
const DB = { cluster: 'rack', namespace: 'shop', name: 'db' };
const PORTS = { ports: [{ port: 5432 }] };
const codeOf = (parsed: { readonly ok: boolean; readonly error?: { readonly code: string } }) =>
  parsed.error?.code ?? 'ok';

describe('a ConnectorGroup', () => {
  it('that says nothing lets nobody in, and takes segments of nobody', () => {
    const draft = unwrap(parseConnectorGroup(EDGE, {}));
    assert.equal(draft.name, 'edge');
    assert.equal(draft.origin, 'kubernetes/rack/net/edge');
    assert.deepEqual(
      [draft.proofs, draft.serviceAccounts, draft.spiffeIds, draft.segmentNamespaces],
      [[], [], [], []],
    );
  });

  it('speaks of service accounts and namespaces of its own cluster alone', () => {
    const serviceAccounts = [{ name: 'edge' }, { name: 'other', namespace: 'shop' }];
    const draft = unwrap(
      parseConnectorGroup(EDGE, {
        proofs: ['kubernetes-token'],
        serviceAccounts,
        segmentNamespaces: ['shop'],
        segmentSelector: { matchLabels: { tier: 'db' } },
        ...{ ttl: '1h30m', offline: '10m', forgetAfter: '24h', maxInstances: 9, zones: [0, 2] },
        ...{ assurance: 'tpm', segmentHosts: ['*.Shop.test'], updateWindow: 'Sat 02:00-06:00 UTC' },
      }),
    );
    assert.deepEqual(draft.serviceAccounts, [
      { cluster: 'rack', namespace: 'net', name: 'edge' },
      { cluster: 'rack', namespace: 'shop', name: 'other' },
    ]);
    assert.deepEqual(draft.segmentNamespaces, ['rack/shop']);
    assert.deepEqual(draft.segmentHosts, ['*.shop.test']);
    assert.deepEqual(draft.segmentSelector, { tier: 'db' });
    assert.deepEqual(
      [draft.svidTtlSeconds, draft.offlineSeconds, draft.forgetAfterSeconds, draft.maxInstances],
      [5400, 600, 86_400, 9],
    );
    assert.deepEqual([draft.zones, draft.assurance], [[0, 2], 'tpm']);
  });

  const refused: readonly (readonly [string, JsonObject])[] = [
    ['RULE_SPEC', { proofs: ['password'] }],
    ['RULE_SPEC', { proofs: 'bound-key' }],
    ['RULE_SPEC', { maxInstances: -1 }],
    ['RULE_SPEC', { maxInstances: 1.5 }],
    ['RULE_SPEC', { zones: ['1'] }],
    ['RULE_SPEC', { assurance: 'somehow' }],
    ['RULE_SPEC', { serviceAccounts: [{ namespace: 'net' }] }],
    ['RULE_SPEC', { ttl: '1 day' }],
    ['CONNECTOR_GROUP_INVALID', { segmentNamespaces: ['lab/shop'] }],
    ['CONNECTOR_GROUP_INVALID', { segmentHosts: ['*'] }],
    ['CONNECTOR_GROUP_INVALID', { minInstances: 3, maxInstances: 2 }],
    ['CONNECTOR_GROUP_INVALID', { spiffeIDs: ['https://a.test'] }],
  ];
  for (const [code, spec] of refused) {
    it(`${JSON.stringify(spec)} is ${code}`, () =>
      assert.equal(codeOf(parseConnectorGroup(EDGE, spec)), code));
  }

  it('whose name is no DNS label is none', () => {
    const dotted = parseConnectorGroup({ ...EDGE, name: 'a.b' }, {});
    assert.equal(codeOf(dotted), 'CONNECTOR_GROUP_INVALID');
  });
});

describe('a ConnectorSegment', () => {
  it('is a segment under the name of its object', () => {
    const { draft, services } = unwrap(
      parseConnectorSegment(DB, {
        groups: ['edge'],
        hosts: ['DB.shop.test.', '10.0.0.0/24'],
        ports: [{ port: 5432 }, { port: 8000, endPort: 8010 }],
        clients: ['spiffe://example.org/app/*'],
        upstreamTLS: { spiffeID: 'spiffe://example.org/db' },
        healthCheck: { type: 'http', path: '/live', interval: '30s' },
        ...{ draining: true, priority: 7, weight: 2, labels: { tier: 'db' } },
      }),
    );
    assert.deepEqual(draft, {
      id: 'rack/shop/db',
      origin: 'kubernetes/rack/shop/db',
      groups: ['edge'],
      hosts: ['db.shop.test', '10.0.0.0/24'],
      protocol: 'tcp',
      ports: [
        { first: 5432, last: 5432 },
        { first: 8000, last: 8010 },
      ],
      clients: ['spiffe://example.org/app/*'],
      upstreamTls: true,
      upstreamId: 'spiffe://example.org/db',
      healthCheck: 'http',
      healthCheckPath: '/live',
      healthCheckIntervalSeconds: 30,
      ...{ draining: true, priority: 7, weight: 2, labels: { tier: 'db' } },
    });
    assert.deepEqual(services, []);
  });

  it('of services alone has no hosts of its own', () => {
    const spec = { services: [{ name: 'db' }], protocol: 'UDP', ...PORTS };
    const { draft, services } = unwrap(parseConnectorSegment(DB, spec));
    assert.deepEqual([draft.hosts, draft.protocol, services], [[], 'udp', ['db']]);
    assert.deepEqual(draft.clients, []);
  });

  const hosts = { hosts: ['a.test'] };
  const eight = Array.from({ length: 8 }, (_, at) => ({ name: `s${at}` }));
  const cases: readonly (readonly [string, JsonObject])[] = [
    ['RULE_SPEC', PORTS],
    ['RULE_SPEC', { ...hosts, ...PORTS, protocol: 'tcp' }],
    ['RULE_SPEC', { ...hosts, ...PORTS, upstreamTLS: {} }],
    ['RULE_SPEC', { ...hosts, ...PORTS, healthCheck: { type: 'ping' } }],
    ['RULE_SPEC', { ...hosts, ...PORTS, services: [{}] }],
    ['ok', { ...hosts, ...PORTS, services: eight }],
    ['RULE_SPEC', { ...hosts, ...PORTS, services: [...eight, { name: 'x' }] }],
    ['CONNECTOR_SEGMENT_INVALID', hosts],
    ['CONNECTOR_SEGMENT_INVALID', { services: [{ name: 'db' }] }],
    ['CONNECTOR_SEGMENT_INVALID', { ...hosts, ports: [{ port: 5, endPort: 4 }] }],
    ['CONNECTOR_SEGMENT_INVALID', { ...PORTS, hosts: ['*'] }],
    ['CONNECTOR_SEGMENT_INVALID', { ...hosts, ...PORTS, clients: ['*'] }],
  ];
  for (const [code, spec] of cases) {
    it(`${JSON.stringify(spec).slice(0, 70)} is ${code}`, () =>
      assert.equal(codeOf(parseConnectorSegment(DB, spec)), code));
  }
});
