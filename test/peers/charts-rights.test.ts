import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import { parse, stringify } from 'yaml';
import { startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import { createApiServerSource } from '../../agent/workload/k8s/api-server.ts';
import { labelsOfNamespaces } from '../../agent/workload/k8s/namespace-labels.ts';
import { PodIndex } from '../../agent/workload/k8s/pod-index.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { encodePem } from '../../src/der/pem.ts';
import { IstioCertificateServiceService } from '../../src/gen/istio/v1/auth/ca.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import { lazyKubeObjects } from '../../src/kube/kube-objects.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { soon } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { ask, TestServer } from '../support/server.ts';
import { needsShared, skipNow } from '../support/shared.ts';
import { makeCsr } from '../support/x509.ts';
import {
  type Asked,
  askedBy,
  auditArgs,
  kubeconfigOf,
  rightsOf,
  untilBound,
  useUp,
} from './chart-rights.ts';
import { type GoTool, goTool } from './go-tool.ts';
import { at, type Manifest, render, textOf } from './helm.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const LOG = createLogger({ level: 'silent' });
const SERVER = 'r-signet-server';
const AGENT = 'r-signet-agent';
const SIGNER = 'signet.acme.io/spiffe';
const DNS_SIGNER = 'signet.acme.io/service-dns';
const account = (name: string): string => `system:serviceaccount:signet:${name}`;

const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: signet }
---
apiVersion: v1
kind: Namespace
metadata: { name: spire }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { trust: "yes" } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { served: "yes" }, ports: [{ port: 443 }] }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: ${AGENT}, namespace: signet }
---
apiVersion: v1
kind: Pod
metadata: { name: agent, namespace: signet }
spec:
  nodeName: node-a
  serviceAccountName: ${AGENT}
  automountServiceAccountToken: false
  containers: [{ name: c, image: none }]
`;

const RULES = `
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: all }
spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}" }
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterStaticEntry
metadata: { name: one }
spec: { spiffeID: "spiffe://prod.acme.io/one", parentID: "spiffe://prod.acme.io/host", selectors: ["unix:uid:0"] }
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterFederatedTrustDomain
metadata: { name: other }
spec: { trustDomain: other.test, bundleEndpointURL: "https://127.0.0.1:1/", bundleEndpointProfile: { type: https_web } }
---
apiVersion: signet.dev/v1alpha1
kind: WorkloadIdentityGrant
metadata: { name: shop }
spec: { pathPrefix: /shop, namespaceSelector: { matchLabels: { trust: "yes" } } }
---
apiVersion: signet.dev/v1alpha1
kind: WorkloadIdentity
metadata: { name: web, namespace: shop }
spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/shop/web", podSelector: { matchLabels: { app: web } } }
---
apiVersion: signet.dev/v1alpha1
kind: ConnectorGroup
metadata: { name: edge, namespace: shop }
spec: { segmentNamespaces: [shop] }
---
apiVersion: signet.dev/v1alpha1
kind: ConnectorSegment
metadata: { name: web, namespace: shop }
spec: { groups: [edge, none], services: [{ name: web }], ports: [{ port: 443 }] }
`;

const pod = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { served: "yes" } }
spec:
  automountServiceAccountToken: false
  containers: [{ name: c, image: none, volumeMounts: [{ name: id, mountPath: /id }] }]
  volumes:
  - name: id
    projected:
      sources:
      - { podCertificate: { signerName: ${SIGNER}, credentialBundlePath: b.pem, keyType: ECDSAP256 } }
      - { podCertificate: { signerName: ${DNS_SIGNER}, credentialBundlePath: d.pem, keyType: ECDSAP256 } }
`;

const BASE = {
  trustDomain: 'prod.acme.io',
  clusterName: 'rack-1',
  image: { registry: 'registry.acme.io' },
};
const OFF = {
  agent: { enabled: false },
  nodeAttestor: { k8sPsat: { enabled: false } },
  rules: { enabled: false },
};
const MAPS = [{ namespace: 'spire' }, { namespaceSelector: 'trust=yes', name: 'trust' }];
const BUNDLES = [{ signerName: SIGNER }, { name: 'signet-canary', channel: 'canary' }];
const SIGNS = { enabled: true, signerDomain: 'signet.acme.io', serviceDns: true };

/** Tokens are looked at as those of agents are. */
const CONNECTORS = {
  enabled: true,
  kubernetesTokens: false,
  groups: [{ namespace: 'shop', names: ['edge'] }],
};

/** Sets of switches, each of which the server is run with. */
const CASES: readonly (readonly [string, object])[] = [
  ['nodeAttestor.k8sPsat and agent.bootstrap.publish', { rules: { enabled: false } }],
  ['rules.status', { ...OFF, rules: { status: { enabled: true } } }],
  ['podCertificates', { ...OFF, rules: { status: { enabled: false } }, podCertificates: SIGNS }],
  ['istio', { ...OFF, rules: { status: { enabled: false } }, istio: { enabled: true } }],
  [
    'trustBundles and agent.bootstrap.clusterTrustBundle',
    {
      ...OFF,
      agent: {
        bootstrap: { clusterTrustBundle: 'signet.acme.io:spiffe:begin' },
        config: { attestation: { x509pop: { certificatePath: '/c', privateKeyPath: '/k' } } },
      },
      trustBundles: BUNDLES,
    },
  ],
  ['configMaps', { ...OFF, configMaps: MAPS }],
  ['connectors', { ...OFF, connectors: CONNECTORS }],
];

async function countAgents(server: TestServer): Promise<number> {
  const { count } = await ask(server.admin(), AgentService.countAgents, { filter: undefined });
  return count;
}

describe('the rights that the chart gives', needsShared('rig/kube.sh'), () => {
  let helm: GoTool;
  let rig: KubeRig;
  let dir: string;

  before(async () => {
    helm = await goTool('helm3', 'helm.sh/helm/v3/cmd/helm');
    dir = mkdtempSync(join(tmpdir(), 'sgn-rights-'));
    if (helm.missing !== undefined) return;
    rig = await startKubeRig({ apiArgs: auditArgs(dir) });
    const crds = await render(helm, 'charts/signet-crds', []);
    await apply(crds);
    await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    await rig.node('node-a');
    await rig.kubectl(['apply', '-f', '-'], `${OBJECTS}---${RULES}`);
  });
  after(async () => {
    await rig?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const apply = (objects: readonly Manifest[]): Promise<string> =>
    rig.kubectl(['apply', '-f', '-'], objects.map((each) => stringify(each)).join('---\n'));

  /** Puts accounts and roles of a rendering in place of the last one's, and what the last server made aside. */
  async function give(values: object): Promise<readonly Manifest[]> {
    const path = join(dir, 'values.yaml');
    writeFileSync(path, stringify({ ...BASE, ...values }));
    const objects = await render(helm, 'charts/signet', ['-f', path]);
    const mine = ['-l', 'app.kubernetes.io/name=signet'];
    const none = ['--ignore-not-found', '--wait=false'];
    await Promise.all([
      rig.kubectl(['delete', 'clusterrolebindings,clusterroles', ...mine, ...none]),
      rig.kubectl(['delete', 'rolebindings,roles', '-A', ...mine, ...none]),
      rig.kubectl(['delete', 'leases', '-n', 'signet', '--all', ...none]),
      rig.kubectl(['delete', 'configmap', 'signet-bundle', '-n', 'signet', ...none]),
      rig.kubectl(['delete', 'clustertrustbundles', '--all', ...none]),
      rig.kubectl(['delete', 'configmap', 'spire-bundle', '-n', 'spire', ...none]),
      rig.kubectl(['delete', 'configmap', 'trust', '-n', 'shop', ...none]),
      rig.kubectl(['delete', 'pod', 'web', '-n', 'shop', '--grace-period=0', '--force', ...none]),
      rig.kubectl(['delete', '-f', '-', ...none], RULES),
    ]);
    await apply(objects.filter(({ kind }) => /Role|ServiceAccount/.test(String(kind))));
    await rig.kubectl(['apply', '-f', '-'], RULES);
    await untilBound(rig, objects, (role) =>
      account(textOf(role, 'metadata', 'name').endsWith('-agent') ? AGENT : SERVER),
    );
    return objects;
  }

  async function kubeconfigFor(name: string): Promise<string> {
    const token = await rig.kubectl(['create', 'token', name, '-n', 'signet']);
    return kubeconfigOf(rig.kubeconfig, token.trim(), join(dir, `${name}.kubeconfig`));
  }

  /** The server as the chart configures it, with the chart's account, outside of a pod. */
  async function startAs(objects: readonly Manifest[]): Promise<TestServer> {
    const text = objects.map((each) => at(each, 'data', 'server.yaml')).find(Boolean);
    const config = parse(String(text)) as Record<string, unknown>;
    const kubeconfigPath = await kubeconfigFor(SERVER);
    const placed = (clusters: unknown): object[] =>
      (Array.isArray(clusters) ? clusters : []).map((one: object) => ({ ...one, kubeconfigPath }));
    const psat = at(config, 'attestation', 'k8sPsat', 'clusters');
    return TestServer.start({
      trustDomain: config.trustDomain,
      ...(psat === undefined ? {} : { attestation: { k8sPsat: { clusters: placed(psat) } } }),
      ...(config.connectors === undefined ? {} : { connectors: config.connectors }),
      kubernetes: { clusters: placed(at(config, 'kubernetes', 'clusters')) },
    });
  }

  /** An agent attests with the token of its pod, and reads pods with its own account. */
  async function attestTo(server: TestServer): Promise<void> {
    const home = mkdtempSync(join(dir, 'agent-'));
    const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', 'agent'];
    const asked = ['create', 'token', AGENT, '-n', 'signet', '--audience', 'spire-server'];
    writeFileSync(join(home, 'token'), (await rig.kubectl([...asked, ...bound])).trim());
    writeFileSync(join(home, 'bundle.pem'), await server.bundlePem());
    const config = agentConfigSchema.parse({
      trustDomain: BASE.trustDomain,
      dataDir: `${home}/agent`,
      server: { address: '127.0.0.1', port: server.running.port },
      bootstrap: { bundlePath: `${home}/bundle.pem` },
      attestation: { k8sPsat: { cluster: BASE.clusterName, tokenPath: `${home}/token` } },
      workloadSocket: { path: `${home}/w/api.sock` },
    });
    const agent = assertValue(await startAgent(config, { log: LOG }));
    await soon(async () => (await countAgents(server)) === 1);
    await agent.stop('test is over');
  }

  /** A mesh client shows a token, which is looked at, whatever is answered then. */
  async function askForMesh(server: TestServer): Promise<void> {
    const asked = ['create', 'token', 'default', '-n', 'shop', '--audience', 'istio-ca'];
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${(await rig.kubectl(asked)).trim()}`);
    const csr = encodePem('CERTIFICATE REQUEST', makeCsr({ uris: ['spiffe://prod.acme.io/shop'] }));
    const { path, requestSerialize, responseDeserialize } =
      IstioCertificateServiceService.createCertificate;
    const request = requestSerialize({ csr, validityDuration: 3600n, metadata: undefined });
    const client = await server.tcp();
    await new Promise<void>((resolve) => {
      const bytes = (one: Buffer): Buffer => one;
      client.makeUnaryRequest(path, bytes, responseDeserialize, request, metadata, () => resolve());
    });
  }

  const asks = (name: string, from = 0): readonly Asked[] =>
    askedBy(dir, account(name)).slice(from);

  const partOf = (objects: readonly Manifest[], part: string): readonly Manifest[] =>
    objects.filter(({ metadata }) => textOf(metadata, 'name').endsWith(`-${part}`));

  for (const [what, values] of CASES) {
    it(`are what the server asks for, no more and no less: ${what}`, async (t) => {
      if (helm.missing !== undefined) return skipNow(t, helm.missing);
      const from = asks(SERVER).length;
      const objects = await give(values);
      const rights = rightsOf(partOf(objects, 'server'));
      assert.ok(rights.length > 0);
      const server = await startAs(objects);
      try {
        if (rights.some(({ verb }) => verb === 'sign')) {
          await rig.kubectl(['apply', '-f', '-'], pod('web'));
        }
        if (what.includes('istio')) await askForMesh(server);
        else if (rights.some((right) => right.what.endsWith('/tokenreviews'))) {
          await attestTo(server);
        }
        await useUp(rights, () => asks(SERVER, from));
      } finally {
        await server.stop();
      }
      const refused = asks(SERVER, from).filter(({ status }) => status === 403);
      assert.deepEqual(refused, []);
    });
  }

  it('are what agents ask for, no more and no less', async (t) => {
    if (helm.missing !== undefined) return skipNow(t, helm.missing);
    const k8s = { sources: ['kubelet', 'api-server'], namespaceLabels: true };
    const objects = await give({ agent: { config: { workloadAttestors: { k8s } } } });
    const [kubelet, ...rights] = rightsOf(partOf(objects, 'agent'));
    // The rig's kubelet asks nobody whether its pods may be read.
    assert.deepEqual([kubelet?.verb, kubelet?.what], ['get', '/nodes/pods']);
    const place = { kubeconfigPath: await kubeconfigFor(AGENT) };
    const parts = { clock: systemClock, random: systemRandom, log: LOG };
    const source = createApiServerSource({
      open: () => openKubeApi(place, parts),
      nodeName: 'node-a',
      ...parts,
    });
    const ends = new AbortController();
    const demand = new PodIndex();
    const sink = { replace() {}, put() {}, remove() {}, problem() {}, demand };
    const running = source.run(sink, ends.signal);
    assertValue(await labelsOfNamespaces(lazyKubeObjects(place, parts), systemClock)('shop'));
    await useUp(rights, () => asks(AGENT));
    ends.abort();
    await running;
    assert.deepEqual(
      asks(AGENT).filter(({ status }) => status === 403),
      [],
    );
  });
});
