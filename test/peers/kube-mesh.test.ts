import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { soon } from '../support/processes.ts';
import { TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { type GoTool, goTool } from './go-tool.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const CRDS = 'charts/signet-crds/files';
const SIGNER = 'signet.test/service-dns';
const NAME = 'signet.signet.svc';

/** What docs/istio.md and docs/kubernetes-objects.md say that the account needs, and nothing else. */
const ACCOUNT = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: signet }
rules:
- { apiGroups: [""], resources: [pods, nodes, namespaces, serviceaccounts, services], verbs: [list, watch] }
- { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch] }
- { apiGroups: [spire.spiffe.io, signet.dev], resources: ["*"], verbs: [list, watch] }
- { apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create] }
- { apiGroups: [certificates.k8s.io], resources: [podcertificaterequests], verbs: [list, watch] }
- { apiGroups: [certificates.k8s.io], resources: [podcertificaterequests/status], verbs: [patch] }
- { apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [signet.test/spiffe, ${SIGNER}], verbs: [sign] }
- { apiGroups: [""], resources: [events], verbs: [create] }
- { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: signet }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: signet }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: signet }]
---
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: ztunnel, namespace: shop }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: web, namespace: shop }
`;

const RULE = `
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: mesh }
spec:
  spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}"
`;

function pod(name: string, node: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name}-${node}, namespace: shop }
spec:
  serviceAccountName: ${name}
  nodeName: ${node}
  containers: [{ name: c, image: none }]
---
`;
}

const SERVED = `
apiVersion: v1
kind: Pod
metadata: { name: served, namespace: shop, labels: { app: served } }
spec:
  automountServiceAccountToken: false
  containers: [{ name: c, image: none, volumeMounts: [{ name: id, mountPath: /id }] }]
  volumes:
  - name: id
    projected:
      sources:
      - podCertificate: { signerName: ${SIGNER}, keyType: ECDSAP256, credentialBundlePath: bundle.pem }
`;

const SERVICE = `
apiVersion: v1
kind: Service
metadata: { name: front, namespace: shop }
spec: { selector: { app: served }, ports: [{ port: 80 }] }
`;

interface Outcome {
  readonly code: string;
  readonly message: string;
  readonly uris: readonly string[];
  readonly chain: number;
  readonly roots: number;
  readonly seconds: number;
  readonly attempts: number;
}

describe('a mesh of Istio on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let server: TestServer;
  let istio: GoTool;
  const idOf = (account: string): string => `spiffe://example.org/ns/shop/sa/${account}`;

  before(async () => {
    istio = await goTool('istio', '.');
    rig = await startKubeRig();
    for (const file of readdirSync(CRDS)) {
      await rig.kubectl(['apply', '-f', '-'], readFileSync(join(CRDS, file), 'utf8'));
    }
    await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    await rig.kubectl(['apply', '-f', '-'], ACCOUNT);
    await rig.kubectl(['apply', '-f', '-'], RULE);
    await Promise.all([rig.node('node-a'), rig.node('node-b')]);
    const pods = [pod('web', 'node-a'), pod('ztunnel', 'node-a'), pod('ztunnel', 'node-b')];
    await rig.kubectl(['apply', '-f', '-'], pods.join(''));
    const cluster = {
      name: 'rack',
      kubeconfigPath: await rig.user('signet'),
      istio: { trustedNodeAccounts: ['shop/ztunnel'] },
      podCertificates: { signerDomain: 'signet.test', serviceDns: true, leaseNamespace: 'shop' },
    };
    server = await TestServer.start({
      listen: { address: '127.0.0.1', port: 0, dnsNames: [NAME] },
      kubernetes: { clusters: [cluster] },
    });
    writeFileSync(join(rig.dir, 'roots.pem'), await server.bundlePem());
  });
  after(async () => {
    await server?.stop();
    await rig?.stop();
  });

  async function token(account: string, node: string, audience = 'istio-ca'): Promise<string> {
    const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', `${account}-${node}`];
    const args = ['create', 'token', account, '-n', 'shop', '--audience', audience, ...bound];
    return (await rig.kubectl(args)).trim();
  }

  async function create(token: string, uri: string, ...more: string[]): Promise<Outcome> {
    const address = `127.0.0.1:${server.running.port}`;
    const where = ['-address', address, '-name', NAME, '-roots', join(rig.dir, 'roots.pem')];
    const { code, stdout, stderr } = await istio.run([
      ...where,
      ...['-token', token, '-uri', uri],
      ...more,
    ]);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Outcome;
  }

  it('gets certificates by its messages, for pods as their tokens say', async () => {
    assert.equal(istio.missing, undefined);
    const web = await token('web', 'node-a');
    // The pod may not be seen yet: Istio tries again by itself, and so does this.
    await soon(async () => (await create(web, idOf('web'))).code === 'OK');
    const { uris, chain, roots, seconds } = await create(web, idOf('web'));
    assert.deepEqual([uris, chain, roots], [[idOf('web')], 2, 1]);
    assert.ok(seconds <= 3660, `policy bounds the day that is asked for: ${seconds} s`);
  });

  it('gets none in the name of another, nor with a token that is for others', async () => {
    const web = await token('web', 'node-a');
    const other = await create(web, idOf('ztunnel'));
    assert.deepEqual([other.code, other.attempts], ['PermissionDenied', 1]);
    assert.match(other.message, /ClusterSPIFFEID\/mesh/);
    const foreign = await create(await token('web', 'node-a', 'elsewhere'), idOf('web'));
    assert.deepEqual([foreign.code, foreign.attempts], ['Unauthenticated', 1]);
    const unbound = ['create', 'token', 'web', '-n', 'shop', '--audience', 'istio-ca'];
    const bare = await create((await rig.kubectl(unbound)).trim(), idOf('web'));
    assert.deepEqual([bare.code, bare.attempts], ['PermissionDenied', 1]);
  });

  it("gets them by a node's proxy, for pods of that node", async () => {
    const here = await create(await token('ztunnel', 'node-a'), idOf('web'), '-node');
    assert.deepEqual([here.code, here.uris], ['OK', [idOf('web')]]);
    const there = await create(await token('ztunnel', 'node-b'), idOf('web'), '-node');
    assert.deepEqual([there.code, there.attempts], ['Unavailable', 5], there.message);
    const web = await create(await token('web', 'node-a'), idOf('ztunnel'), '-node');
    assert.deepEqual([web.code, web.attempts], ['PermissionDenied', 1]);
  });

  it('gets none any more once the pod is gone', async () => {
    const web = await token('web', 'node-a');
    await rig.kubectl(['delete', 'pod', '-n', 'shop', 'web-node-a', '--grace-period=0', '--force']);
    const gone = await create(web, idOf('web'));
    assert.deepEqual([gone.code, gone.attempts], ['Unauthenticated', 1], gone.message);
  });

  it('has pods start with the names of the services that select them', async () => {
    await rig.kubectl(['apply', '-f', '-'], SERVED);
    // It is waited for: the service may come after the pod.
    await soon(async () => {
      const args = ['get', 'podcertificaterequests', '-n', 'shop', '-o', 'name'];
      return (await rig.kubectl(args)).includes('podcertificaterequest');
    });
    await rig.kubectl(['apply', '-f', '-'], SERVICE);
    const wait = ['wait', '-n', 'shop', 'pod/served', '--timeout=60s'];
    await rig.kubectl([...wait, '--for=jsonpath={.status.phase}=Running']);
    const uid = await rig.kubectl([
      'get',
      'pod',
      '-n',
      'shop',
      'served',
      '-o',
      'jsonpath={.metadata.uid}',
    ]);
    const nodes = ['node-a', 'node-b'].map((node) =>
      join(rig.dir, `node-${node}/pods/${uid}/volumes/kubernetes.io~projected/id/bundle.pem`),
    );
    await soon(async () => nodes.some((file) => existsSync(file)));
    const text = readFileSync(nodes.find((file) => existsSync(file)) ?? '', 'utf8');
    const leaf = new X509Certificate(text.slice(text.indexOf('-----BEGIN CERTIFICATE')));
    const names = ['URI:spiffe://example.org/ns/shop/sa/default', 'DNS:front.shop.svc'];
    const told = (leaf.subjectAltName ?? '').split(', ').sort();
    assert.deepEqual(told, [...names, 'DNS:front.shop.svc.cluster.local'].sort());
  });
});
