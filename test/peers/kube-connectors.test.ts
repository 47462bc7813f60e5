import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import { run, soon } from '../support/processes.ts';
import { TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const CRDS = 'charts/signet-crds/files';
const NAMESPACES = ['signet', 'net', 'shop', 'other'];

type Spec = Readonly<Record<string, unknown>>;

const object = (kind: string, namespace: string, name: string, spec: Spec): string =>
  stringify({
    apiVersion: 'signet.dev/v1alpha1',
    kind,
    metadata: { namespace, name },
    spec,
  });
const group = (namespace: string, name: string, spec: Spec): string =>
  object('ConnectorGroup', namespace, name, spec);
const segment = (namespace: string, name: string, spec: Spec): string =>
  object('ConnectorSegment', namespace, name, { ports: [{ port: 5432 }], ...spec });

const EDGE = {
  minInstances: 1,
  proofs: ['kubernetes-token'],
  serviceAccounts: [{ name: 'edge' }],
  segmentNamespaces: ['shop'],
  segmentHosts: ['*.shop.test', '*.shop.svc.cluster.local'],
};
const DB = { groups: ['edge'], hosts: ['db.shop.test'], clients: ['spiffe://example.org/app/*'] };

describe('connectors on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let server: TestServer;

  before(async () => {
    rig = await startKubeRig();
    for (const file of readdirSync(CRDS).filter((name) => name.includes('_connector'))) {
      await rig.kubectl(['apply', '-f', '-'], readFileSync(join(CRDS, file), 'utf8'));
    }
    await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    const namespaces = NAMESPACES.map((name) =>
      stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }),
    );
    await apply(...namespaces);
    const connectors = {
      groups: [{ namespace: 'net', names: ['edge', 'edge-*'] }],
      status: { leaseNamespace: 'signet' },
    };
    const cluster = { name: 'rack', kubeconfigPath: rig.kubeconfig, connectors };
    server = await TestServer.start({ connectors: {}, kubernetes: { clusters: [cluster] } });
  });
  after(async () => {
    await server?.stop();
    await rig?.stop();
  });

  async function apply(...objects: readonly string[]): Promise<void> {
    await rig.kubectl(['apply', '-f', '-'], objects.join('---\n'));
  }

  /** A status in one line: reasons of its conditions, what it serves. */
  async function statusOf(kind: string, namespace: string, name: string): Promise<string> {
    const out = await rig.kubectl(['get', kind, name, '-n', namespace, '-o', 'yaml']);
    const { metadata, status = {} } = parse(out);
    const said = (status.conditions ?? []).map(
      (one: Readonly<Record<string, string>>) => `${one.type}=${one.reason}`,
    );
    const seen = (status.conditions ?? []).every(
      (one: Spec) => one.observedGeneration === metadata.generation,
    );
    const facts = [...(status.groups ?? []), ...(status.hosts ?? [])];
    return seen ? [...said.toSorted(), ...facts].join(' ') : 'old';
  }

  const soonIs = (kind: string, namespace: string, name: string, wanted: RegExp): Promise<void> =>
    soon(async () => wanted.test(await statusOf(kind, namespace, name)));

  async function refusedBy(text: string): Promise<string> {
    const args = ['--kubeconfig', rig.kubeconfig, 'apply', '-f', '-'];
    const { code, stderr } = await run(join(rig.bin, 'kubectl'), args, { input: text });
    assert.notEqual(code, 0, text);
    return stderr;
  }

  it('the definitions refuse what could never be in force', async () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      [group('net', 'a.b', {}), /DNS label/],
      [group('net', 'a', { minInstances: 2, maxInstances: 1 }), /more than maxInstances/],
      [group('net', 'a', { proofs: ['kubernetes-token'] }), /needs serviceAccounts/],
      [group('net', 'a', { proofs: ['password'] }), /proofs/],
      [group('net', 'a', { segmentNamespaces: ['lab/shop'] }), /segmentNamespaces/],
      [group('net', 'a', { ttl: '1 day' }), /ttl/],
      [segment('shop', 'a', { groups: ['edge'] }), /neither hosts nor services/],
      [segment('shop', 'a', { hosts: ['a.test'] }), /neither groups/],
      [segment('shop', 'a', { ...DB, hosts: ['a b'] }), /hosts/],
      [segment('shop', 'a', { ...DB, ports: [{ port: 5, endPort: 4 }] }), /below port/],
      [segment('shop', 'a', { ...DB, ports: [{ port: 65_536 }] }), /65535/],
      [segment('shop', 'a', { ...DB, clients: ['*'] }), /clients/],
      [segment('shop', 'a', { ...DB, healthCheck: { type: 'http' } }), /path/],
    ];
    for (const [text, wanted] of cases) assert.match(await refusedBy(text), wanted);
  });

  it('objects make groups and segments, and are told how they stand', async () => {
    await apply(
      group('net', 'edge', EDGE),
      group('shop', 'edge-shop', EDGE),
      segment('shop', 'db', { ...DB, services: [{ name: 'db' }] }),
      segment('other', 'db', DB),
      segment('shop', 'out', { ...DB, hosts: ['db.other.test'] }),
    );
    await soonIs('cgroup', 'net', 'edge', /^Accepted=Accepted .*Ready=TooFewConnectors/);
    await soonIs('cgroup', 'shop', 'edge-shop', /Accepted=NotAllowed .*Ready=NotAccepted/);
    await soonIs('cseg', 'shop', 'db', /Accepted=NoService/);
    await soonIs('cseg', 'other', 'db', /Accepted=NotPermitted .*Ready=NotAccepted/);
    await soonIs('cseg', 'shop', 'out', /Accepted=NotPermitted/);
    const service = {
      metadata: { name: 'db', namespace: 'shop' },
      spec: { ports: [{ port: 5432 }] },
    };
    await apply(stringify({ apiVersion: 'v1', kind: 'Service', ...service }));
    const hosts = 'edge db.shop.test db.shop.svc.cluster.local';
    await soonIs('cseg', 'shop', 'db', new RegExp(`Accepted=Accepted .*=NoConnector ${hosts}$`));
    const events = ['get', 'events', '-A', '-o', 'jsonpath={.items[*].message}'];
    await soon(async () => (await rig.kubectl(events)).includes('CONNECTOR_GROUP_NOT_ALLOWED'));
  });

  it('of two segments in conflict the first one stands, and the other is told so', async () => {
    await apply(segment('shop', 'twin', DB));
    await soonIs('cseg', 'shop', 'twin', /Conflict=SegmentConflict .*Ready=NotServed/);
    await soonIs('cseg', 'shop', 'db', /Conflict=NoConflict/);
    await apply(segment('shop', 'twin', { ...DB, priority: 1 }));
    await soonIs('cseg', 'shop', 'twin', /Conflict=NoConflict .*edge/);
    await rig.kubectl(['delete', 'cseg', 'twin', '-n', 'shop']);
  });

  it('what a group takes no more ends, and with the group all of it', async () => {
    await apply(group('net', 'edge', { ...EDGE, segmentNamespaces: ['other'] }));
    await soonIs('cseg', 'shop', 'db', /Accepted=NotPermitted/);
    await apply(group('net', 'edge', EDGE));
    await soonIs('cseg', 'shop', 'db', /Accepted=Accepted/);
    await rig.kubectl(['delete', 'cgroup', 'edge', '-n', 'net']);
    await soonIs('cseg', 'shop', 'db', /Accepted=NoGroup/);
  });
});
