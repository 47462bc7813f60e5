import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parse, stringify } from 'yaml';
import { enrolText } from '../../src/connectors/enrol/signed-text.ts';
import {
  ConnectorService,
  EnrolRequest,
  type EnrolResponse,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { local } from '../support/companion.ts';
import { plainSettings } from '../support/companion-rig.ts';
import { runCompanion } from '../support/companion-server.ts';
import { startConnector } from '../support/connector-rig.ts';
import { run, soon } from '../support/processes.ts';
import { ask, TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { testFolder } from '../support/workload-api.ts';
import { makeCsr, makeKey, signWith } from '../support/x509.ts';
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
/** A pod that a node has, whose containers nobody runs. */
const pod = (name: string, serviceAccountName = 'edge'): string =>
  stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'net', name },
    spec: {
      nodeName: 'node-a',
      serviceAccountName,
      automountServiceAccountToken: false,
      containers: [{ name: 'c', image: 'none' }],
    },
  });
/** A service account of theirs. */
const account = (name: string): string =>
  stringify({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: 'net', name } });

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

  async function soonIs(
    kind: string,
    namespace: string,
    name: string,
    wanted: RegExp,
  ): Promise<void> {
    let said = '';
    const isSaid = async (): Promise<boolean> => {
      said = await statusOf(kind, namespace, name);
      return wanted.test(said);
    };
    await soon(isSaid).catch(() => assert.match(said, wanted));
  }

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
    await Promise.all(
      cases.map(async ([text, wanted]) => assert.match(await refusedBy(text), wanted)),
    );
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

  /** A token as the kubelet projects it into a pod. */
  async function tokenOf(name: string, audience: string, of = 'edge'): Promise<string> {
    const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', name];
    const asked = ['create', 'token', of, '-n', 'net', '--audience', audience, ...bound];
    return (await rig.kubectl(asked)).trim();
  }

  /** Enrols with the token of the pod, as its companion would. */
  async function enrol(audience: string): Promise<EnrolResponse> {
    const kubernetesToken = await tokenOf('edge-0', audience);
    const client = await server.tcp();
    const key = makeKey();
    const publicKey = Buffer.from(key.spki);
    const { challenge } = await ask(client, ConnectorService.getChallenge, { publicKey });
    const csr = Buffer.from(makeCsr({ key }));
    const signature = signWith(key, enrolText(challenge, csr));
    const instance = { podName: 'edge-0', nodeName: 'node-a' };
    const stated = EnrolRequest.fromJSON({ group: 'edge', instance, kubernetesToken });
    const proof = { csr, challenge, challengeSignature: Buffer.from(signature) };
    const clockMs = BigInt(Date.now());
    return ask(client, ConnectorService.enrol, { ...stated, ...proof, clockMs });
  }

  it('a pod enrols by its token, and shows in the status of its group', async () => {
    await apply(account('edge'), pod('edge-0'));
    await rig.node('node-a');
    await assert.rejects(enrol('somebody-else'), /does not accept the token/);
    const { spiffeId, connectorId } = await enrol('signet-connectors');
    assert.equal(spiffeId, `spiffe://example.org/connector/edge/${connectorId}`);
    const counts = ['get', 'cgroup', 'edge', '-n', 'net', '-o', 'jsonpath={.status.connectors}'];
    await soon(async () => (await rig.kubectl(counts)) === '{"enrolled":1}');
  });

  it('companion and reference connector enrol by projected tokens, and follow the objects', async (context) => {
    await apply(account('other'), pod('edge-1'), pod('edge-2'), pod('edge-3', 'other'));
    const home = { port: server.running.port, root: { pem: await server.bundlePem() } };
    const folder = testFolder(context);
    const at = (name: string, content: string): string => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const settings = {
      ...plainSettings(folder, home.port),
      enrol: {
        method: 'kubernetes-token',
        tokenPath: at('token', await tokenOf('edge-1', 'signet-connectors')),
      },
    };
    at('bundle.pem', home.root.pem);
    const companion = await runCompanion(context, { folder, settings });
    const tokenPath = at('token-2', await tokenOf('edge-2', 'signet-connectors'));
    const proof = { kind: 'kubernetes-token', tokenPath } as const;
    const one = await startConnector(context, home, { proof });
    await soon(async () => companion.health.report('ready').ok);
    const counts = ['get', 'cgroup', 'edge', '-n', 'net', '-o', 'jsonpath={.status.connectors}'];
    await soon(async () => (await rig.kubectl(counts)) === '{"active":2,"enrolled":1}');

    const others = at('token-3', await tokenOf('edge-3', 'signet-connectors', 'other'));
    const refused = startConnector(context, home, { proof: { ...proof, tokenPath: others } });
    await assert.rejects(refused, { code: 'CONNECTOR_CLAIMANT_DENIED' });

    const hosts = async (): Promise<readonly unknown[]> => [
      one.connector.serving.held.table.segments.flatMap((held) => held.hosts).toSorted(),
      ((await local(folder, '/segments')).body.segments as { hosts: string[] }[])
        .flatMap((held) => held.hosts)
        .toSorted(),
    ];
    const both = ['db.shop.svc.cluster.local', 'db.shop.test'];
    await soon(async () => isDeepStrictEqual(await hosts(), [both, both]));
    await apply(segment('shop', 'cache', { ...DB, hosts: ['cache.shop.test'] }));
    const three = ['cache.shop.test', ...both];
    await soon(async () => isDeepStrictEqual(await hosts(), [three, three]));
    await rig.kubectl(['delete', 'cseg', 'cache', '-n', 'shop']);
    await soon(async () => isDeepStrictEqual(await hosts(), [both, both]));

    // The pod started anew, with nothing kept: the same connector.
    await companion.leave();
    await companion.stop('restart');
    rmSync(join(folder, 'data'), { recursive: true });
    plainSettings(folder, home.port);
    at('token', await tokenOf('edge-1', 'signet-connectors'));
    await runCompanion(context, { folder, settings });
    await soon(async () => (await rig.kubectl(counts)) === '{"active":2,"enrolled":1}');
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
    await apply(group('net', 'edge', EDGE), group('net', 'edge-b', EDGE));
    await soonIs('cseg', 'shop', 'db', /Accepted=Accepted/);
    await apply(segment('shop', 'b', { ...DB, groups: ['edge-b'] }));
    await soonIs('cseg', 'shop', 'b', /Accepted=Accepted/);
    await rig.kubectl(['delete', 'cgroup', 'edge', 'edge-b', '-n', 'net']);
    await soonIs('cseg', 'shop', 'b', /Accepted=NoGroup/);
    // The other one has a connector still: it serves on, and nobody else gets in.
    await soonIs('cseg', 'shop', 'db', /Accepted=Accepted/);
    await soon(async () =>
      /not kubernetes-token/.test(await enrol('signet-connectors').then(String, String)),
    );
  });
});
