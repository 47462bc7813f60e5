import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { podSelectors } from '../../agent/workload/k8s/selectors.ts';
import { unwrap } from '../../src/base/result.ts';
import { emptyBundle } from '../../src/spiffe/bundle.ts';
import { formatSpiffeBundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { type FakeKubelet, fakeKubelet } from '../support/fake-kubelet.ts';
import { Fleet } from '../support/fleet.ts';
import { containerId, nodePod, podContainer, podJson } from '../support/node-pods.ts';
import { type Finished, run, soon, stopChild } from '../support/processes.ts';
import { writableCgroupRoot } from '../support/real-cgroup.ts';
import { needsShared, skipNow } from '../support/shared.ts';
import { makeRoot } from '../support/x509.ts';
import { spirePrograms, startStockAgent } from './stock-agent.ts';

const SIGNET = join(process.cwd(), 'bin/signet');

const POD = nodePod({
  uid: '2c48913c-b29f-11e7-9350-020968147796',
  nodeName: 'localhost',
  labels: [
    ['app', 'web'],
    ['jobset.sigs.k8s.io/jobset-name', 'train'],
  ],
  owners: [{ kind: 'ReplicaSet', name: 'web', uid: '349d135e-3781-43e3-bc25-c900aedf1d0c' }],
  containers: [
    podContainer(),
    podContainer({
      name: 'side',
      image: 'proxy:3',
      imageId: 'proxy@sha256:cc',
      containerId: containerId('c'),
    }),
  ],
  initContainers: [podContainer({ name: 'init', containerId: containerId('b') })],
});

/** Calls a Workload API as a process in a cgroup: it goes there itself, before it becomes the client. */
async function fetchFrom(root: string, path: string, socket: string): Promise<Finished> {
  const folder = join(root, path);
  mkdirSync(folder, { recursive: true });
  const script = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"';
  const command = [SIGNET, 'api', 'fetch', 'x509', '--timeout', '20s', '-o', 'json'];
  const env = {
    ...process.env,
    SPIFFE_ENDPOINT_SOCKET: `unix://${socket}`,
    SIGNET_AGENT_SOCKET: socket,
  };
  const done = await run('sh', ['-c', script, 'sh', folder, ...command], { env });
  for (let last = folder; last !== root; last = join(last, '..')) rmdirSync(last);
  return done;
}

describe('a process in the cgroup of a pod', needsShared('rig/spire/spire.sh'), () => {
  const cgroup = `kubepods/burstable/pod${POD.uid}/${containerId('a')}`;
  const root = writableCgroupRoot();
  let fleet: Fleet;
  let kubelet: FakeKubelet;
  let kube: FakeKube;
  // `after` within `before` would run when `before` has.
  const ends: (() => void)[] = [];
  const ending = { after: (end: () => void) => void ends.push(end) };

  before(async () => {
    const list = JSON.stringify({ kind: 'PodList', apiVersion: 'v1', items: [podJson(POD)] });
    kubelet = await fakeKubelet(ending, (_, response) => response.end(list), ['localhost']);
    const { port, caPath, tokenPath } = kubelet;
    const place = `{ port: ${port}, caPath: ${caPath}, tokenPath: ${tokenPath} }`;
    const k8s = `{ nodeName: localhost, sources: [kubelet-socket, kubelet], kubelet: ${place} }`;
    kube = await FakeKube.start();
    // The agent joins by a token, so its parent is an alias.
    const rules = `{ parentIdTemplate: "spiffe://{{ .TrustDomain }}/node" }`;
    const cluster = `{ name: rack, kubeconfigPath: ${kube.kubeconfigPath}, rules: ${rules} }`;
    const serverYaml = `kubernetes: { clusters: [${cluster}] }\n`;
    fleet = await Fleet.start({ serverYaml, agentYaml: `workloadAttestors: { k8s: ${k8s} }\n` });
  });
  after(async () => {
    await fleet?.stop();
    await kube?.stop();
    for (const end of ends) end();
  });

  function cgroupsOr(context: TestContext): string {
    if (root !== undefined) return root;
    skipNow(context, 'cgroups cannot be made here');
    return '';
  }

  test('gets the identity of an entry with selectors of its pod, one outside does not', async (context) => {
    const at = cgroupsOr(context);
    if (at === '') return;
    await fleet.json(
      'entry',
      'create',
      ...['--parent-id', await fleet.agentId(), '--spiffe-id', 'spiffe://example.org/pod'],
      ...['k8s:ns:shop', 'k8s:sa:web', 'k8s:container-name:main'].flatMap((one) => [
        '--selector',
        one,
      ]),
    );
    await soon(async () => {
      const { stdout } = await fetchFrom(at, cgroup, fleet.workloadSocket);
      return stdout.includes('spiffe://example.org/pod');
    });
    const side = await fetchFrom(
      at,
      cgroup.replace(containerId('a'), containerId('c')),
      fleet.workloadSocket,
    );
    assert.doesNotMatch(side.stdout, /example\.org\/pod/);
    const outside = await fetchFrom(at, 'signet-test-outside', fleet.workloadSocket);
    assert.doesNotMatch(outside.stdout, /example\.org\/pod/);
    assert.notEqual(outside.code, 0);
  });

  test('gets the bundle of a trust domain that its ClusterSPIFFEID federates with', async (context) => {
    const at = cgroupsOr(context);
    if (at === '') return;
    await fleet.json(
      'entry',
      'create',
      ...['--parent-id', 'spiffe://example.org/spire/server'],
      ...['--spiffe-id', 'spiffe://example.org/node'],
      ...['--selector', `spiffe_id:${await fleet.agentId()}`],
    );
    const { certificate } = makeRoot('other.test');
    const bundle = formatSpiffeBundle({
      ...emptyBundle(unwrap(parseTrustDomain('other.test'))),
      x509Authorities: [{ certificate, tainted: false }],
      sequence: 1n,
    });
    const { namespace, name, uid } = POD;
    kube.put('/api/v1/nodes', { metadata: { name: 'localhost' } });
    kube.put('/api/v1/namespaces', { metadata: { name: namespace } });
    const spec = { nodeName: 'localhost', serviceAccountName: 'web' };
    kube.put('/api/v1/pods', { metadata: { namespace, name, uid }, spec });
    const spire = '/apis/spire.spiffe.io/v1alpha1';
    kube.put(`${spire}/clusterfederatedtrustdomains`, {
      metadata: { name: 'other' },
      spec: {
        trustDomain: 'other.test',
        bundleEndpointURL: 'https://127.0.0.1:1/',
        bundleEndpointProfile: { type: 'https_web' },
        trustDomainBundle: Buffer.from(unwrap(bundle)).toString(),
      },
    });
    kube.put(`${spire}/clusterspiffeids`, {
      metadata: { name: 'web' },
      spec: {
        spiffeIDTemplate: 'spiffe://{{ .TrustDomain }}/by-rule',
        federatesWith: ['other.test'],
      },
    });
    let said = '';
    await soon(async () => {
      said = (await fetchFrom(at, cgroup, fleet.workloadSocket)).stdout;
      return said.includes('spiffe://example.org/by-rule') && said.includes('other.test');
    });
    const root = Buffer.from(certificate.der).toString('base64');
    assert.ok(said.replaceAll('\\n', '').includes(root.slice(0, 60)), said);
  });

  test('has the selectors that stock SPIRE gives it', async (context) => {
    const at = cgroupsOr(context);
    if (at === '') return;
    const workloads = `WorkloadAttestor "k8s" { plugin_data {
    node_name = "localhost"
    kubelet_secure_port = ${kubelet.port}
    kubelet_ca_path = "${kubelet.caPath}"
    token_path = "${kubelet.tokenPath}"
  } }`;
    const agent = await startStockAgent(fleet, await spirePrograms(), undefined, workloads);
    context.after(() => stopChild(agent.child));
    await fetchFrom(at, cgroup, agent.socket);
    const line = agent
      .log()
      .split('\n')
      .find((one) => /attested to have selectors.*ns:shop/.test(one));
    assert.ok(line, agent.log());
    const theirs = [...line.replaceAll('\\"', '"').matchAll(/type:"k8s" +value:"([^"]*)"/g)];
    const [main] = POD.containers;
    assert.ok(main);
    assert.deepEqual(
      theirs.map(([, value]) => `k8s:${value}`).sort(),
      [...podSelectors(POD, main)].sort(),
    );
  });
});
