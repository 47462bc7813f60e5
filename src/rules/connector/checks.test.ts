import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { segmentOf } from '../../../test/support/segment-vectors.ts';
import { checkSegmentDraft, MAX_SEGMENT_CLIENTS, MAX_SEGMENT_HOSTS } from './checks.ts';
import type { ConnectorGroupDraft } from './group.ts';
import { checkGroupDraft } from './group-checks.ts';
import type { ConnectorSegmentDraft } from './segment.ts';

const DRAFT: ConnectorSegmentDraft = segmentOf({ id: 'db' });

const names = (count: number) => Array.from({ length: count }, (_, at) => `h${at}.example.org`);
const clients = (count: number) =>
  Array.from({ length: count }, (_, at) => `spiffe://example.org/c${at}`);
const ranges = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ first: at + 1, last: at + 1 }));
const labels = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`l${at}`, 'v']));

describe('checkSegmentDraft', () => {
  const good: readonly Partial<ConnectorSegmentDraft>[] = [
    { id: 'a' },
    { id: `a${'b'.repeat(251)}c` },
    { id: 'team-a/db.main' },
    { hosts: names(MAX_SEGMENT_HOSTS) },
    { ports: ranges(64) },
    { hosts: names(64), ports: ranges(4) },
    { ports: [{ first: 1, last: 65_535 }] },
    { clients: clients(MAX_SEGMENT_CLIENTS) },
    { clients: [] },
    { clients: ['spiffe://example.org/*', 'spiffe://other.test/a/b'] },
    { upstreamTls: true, upstreamId: 'spiffe://example.org/db' },
    { healthCheck: 'http', healthCheckPath: '/healthz', healthCheckIntervalSeconds: 86_400 },
    { labels: { 'signet.dev/team': 'a', tier: '' } },
    { priority: 0xffff_ffff, weight: 0xffff_ffff },
    { groups: ['edge', 'a'.repeat(63)] },
  ];
  for (const fields of good) {
    it(`takes ${JSON.stringify(fields).slice(0, 70)}`, () => {
      assert.deepEqual(checkSegmentDraft({ ...DRAFT, ...fields }), {
        ok: true,
        value: { ...DRAFT, ...fields },
      });
    });
  }

  it('answers hosts in their one form', () => {
    const checked = checkSegmentDraft({ ...DRAFT, hosts: ['DB.Example.org.', '10.0.0.1/32'] });
    assert.ok(checked.ok);
    assert.deepEqual(checked.value.hosts, ['db.example.org', '10.0.0.1']);
  });

  const bad: readonly (readonly [string, Partial<ConnectorSegmentDraft>])[] = [
    ['id', { id: '' }],
    ['id', { id: 'A' }],
    ['id', { id: '/a' }],
    ['id', { id: `a${'b'.repeat(252)}c` }],
    ['id', { id: 'a\n' }],
    ['hosts', { hosts: [] }],
    ['hosts', { hosts: names(MAX_SEGMENT_HOSTS + 1) }],
    ['hosts[1]', { hosts: ['a.example.org', 'A.example.org.'] }],
    ['hosts[0]', { hosts: ['10.0.0.1/8'] }],
    ['hosts[0]', { hosts: ['*.org'] }],
    ['protocol', { protocol: 'sctp' as 'tcp' }],
    ['ports', { ports: [] }],
    ['ports', { ports: ranges(65) }],
    ['ports', { hosts: names(52), ports: ranges(5) }],
    ['ports[0]', { ports: [{ first: 0, last: 1 }] }],
    ['ports[0]', { ports: [{ first: 1, last: 65_536 }] }],
    ['ports[0]', { ports: [{ first: 2, last: 1 }] }],
    ['ports[0]', { ports: [{ first: 1.5, last: 2 }] }],
    ['ports[1]', { ports: [...ranges(1), ...ranges(1)] }],
    ['clients', { clients: clients(MAX_SEGMENT_CLIENTS + 1) }],
    ['clients[0]', { clients: ['*'] }],
    ['clients[0]', { clients: ['spiffe://*'] }],
    ['clients[0]', { clients: ['spiffe://example.org'] }],
    ['clients[0]', { clients: ['spiffe://example.org/a*'] }],
    ['clients[0]', { clients: ['spiffe://EXAMPLE.org/a'] }],
    ['clients[0]', { clients: ['spiffe://example.org/a/../b'] }],
    ['upstreamId', { upstreamId: 'spiffe://example.org/db' }],
    ['upstreamId', { upstreamTls: true }],
    ['upstreamId', { upstreamTls: true, upstreamId: 'spiffe://example.org/*' }],
    ['healthCheck', { healthCheck: 'ping' as 'tcp' }],
    ['healthCheckPath', { healthCheck: 'http', healthCheckPath: 'healthz' }],
    ['healthCheckPath', { healthCheckPath: '/a\r\nHost: b' }],
    ['healthCheckPath', { healthCheckPath: `/${'a'.repeat(1024)}` }],
    ['healthCheckIntervalSeconds', { healthCheckIntervalSeconds: 86_401 }],
    ['labels', { labels: labels(65) }],
    ['labels', { labels: { 'a b': 'c' } }],
    ['labels', { labels: { a: 'b c' } }],
    ['groups', { groups: Array.from({ length: 65 }, (_, at) => `g${at}`) }],
    ['groups[0]', { groups: ['Edge'] }],
    ['priority', { priority: -1 }],
    ['priority', { priority: 2 ** 32 }],
    ['weight', { weight: Number.NaN }],
  ];
  for (const [field, fields] of bad) {
    it(`refuses ${JSON.stringify(fields).slice(0, 70)}, naming ${field}`, () => {
      const checked = checkSegmentDraft({ ...DRAFT, ...fields });
      assert.ok(!checked.ok);
      assert.equal(checked.error.code, 'CONNECTOR_SEGMENT_INVALID');
      assert.ok(checked.error.message.startsWith(`${field} `), checked.error.message);
    });
  }
});

const GROUP: ConnectorGroupDraft = {
  name: 'edge',
  minInstances: 0,
  maxInstances: 0,
  segmentSelector: {},
  svidTtlSeconds: 0,
  offlineSeconds: 0,
  forgetAfterSeconds: 0,
  proofs: ['provisioning-key'],
  serviceAccounts: [],
  spiffeIds: [],
  zones: [],
  assurance: undefined,
  requireAttestedNode: false,
  segmentNamespaces: [],
  segmentHosts: [],
  updateWindow: '',
  maxUnavailable: 0,
  origin: '',
};

describe('checkGroupDraft', () => {
  const good: readonly Partial<ConnectorGroupDraft>[] = [
    { name: 'a'.repeat(63) },
    { minInstances: 2, maxInstances: 2 },
    { minInstances: 2, maxInstances: 0 },
    { segmentSelector: labels(64) },
    { serviceAccounts: [{ cluster: '', namespace: 'edge', name: 'connector.sa' }] },
    { spiffeIds: ['spiffe://example.org/edge/*'], zones: [0, 0xffff_ffff], assurance: 'tpm' },
    { segmentNamespaces: ['team-a', 'east/team-a'], segmentHosts: ['*.example.org', '10.0.0.0/8'] },
    { updateWindow: 'Sat 02:00-06:00 UTC' },
    { updateWindow: 'Mon-Thu,Sat 22:30-04:00 UTC' },
    { updateWindow: '00:00-23:59 UTC' },
  ];
  for (const fields of good) {
    it(`takes ${JSON.stringify(fields).slice(0, 70)}`, () => {
      assert.deepEqual(checkGroupDraft({ ...GROUP, ...fields }), {
        ok: true,
        value: { ...GROUP, ...fields },
      });
    });
  }

  const account = { cluster: '', namespace: 'edge', name: 'connector' };
  const bad: readonly (readonly [string, Partial<ConnectorGroupDraft>])[] = [
    ['name', { name: '' }],
    ['name', { name: 'a'.repeat(64) }],
    ['name', { name: 'a.b' }],
    ['name', { name: 'a/b' }],
    ['name', { name: 'Edge' }],
    ['minInstances', { minInstances: 3, maxInstances: 2 }],
    ['maxInstances', { maxInstances: 100_001 }],
    ['maxUnavailable', { maxUnavailable: -1 }],
    ['svidTtlSeconds', { svidTtlSeconds: 0.5 }],
    ['offlineSeconds', { offlineSeconds: Number.POSITIVE_INFINITY }],
    ['forgetAfterSeconds', { forgetAfterSeconds: 366 * 86_400 }],
    ['proofs', { proofs: ['magic' as 'bound-key'] }],
    ['serviceAccounts', { serviceAccounts: Array(257).fill(account) }],
    ['serviceAccounts[0]', { serviceAccounts: [{ ...account, namespace: '' }] }],
    ['serviceAccounts[0]', { serviceAccounts: [{ ...account, name: 'a:b' }] }],
    ['serviceAccounts[0]', { serviceAccounts: [{ ...account, cluster: 'a/b' }] }],
    ['spiffeIds[0]', { spiffeIds: ['spiffe://example.org'] }],
    ['zones[0]', { zones: [-1] }],
    ['assurance', { assurance: 'hope' as 'key' }],
    ['segmentSelector', { segmentSelector: { 'a b': '' } }],
    ['segmentNamespaces[0]', { segmentNamespaces: ['a/b/c'] }],
    ['segmentNamespaces[0]', { segmentNamespaces: ['*'] }],
    ['segmentHosts[0]', { segmentHosts: ['*'] }],
    ['updateWindow', { updateWindow: 'whenever' }],
    ['updateWindow', { updateWindow: 'Sat 24:00-06:00 UTC' }],
    ['updateWindow', { updateWindow: 'Sat 02:00-06:00' }],
  ];
  for (const [field, fields] of bad) {
    it(`refuses ${JSON.stringify(fields).slice(0, 70)}, naming ${field}`, () => {
      const checked = checkGroupDraft({ ...GROUP, ...fields });
      assert.ok(!checked.ok);
      assert.equal(checked.error.code, 'CONNECTOR_GROUP_INVALID');
      assert.ok(checked.error.message.startsWith(`${field} `), checked.error.message);
    });
  }
});
