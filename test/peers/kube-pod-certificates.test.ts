import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { unwrap } from '../../src/base/result.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import { objectsAt, textAt } from '../../src/kube/objects.ts';
import { ask, TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { makeCsr } from '../support/x509.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const CRDS = 'charts/signet-crds/files';
const SIGNER = 'signet.test/spiffe';

/** What docs/kubernetes-objects.md says that the account needs, and nothing else. */
const ACCOUNT = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: signet }
rules:
- { apiGroups: [""], resources: [pods, nodes, namespaces, serviceaccounts], verbs: [list, watch] }
- { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch] }
- { apiGroups: [spire.spiffe.io, signet.dev], resources: ["*"], verbs: [list, watch] }
- { apiGroups: [certificates.k8s.io], resources: [podcertificaterequests], verbs: [list, watch] }
- { apiGroups: [certificates.k8s.io], resources: [podcertificaterequests/status], verbs: [patch] }
- { apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [${SIGNER}], verbs: [sign] }
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
metadata: { name: signet }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop }
`;

const RULE = `
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: all }
spec:
  spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}"
  podSelector: { matchLabels: { id: "yes" } }
`;

function pod(name: string, source: string, labels = '{ id: "yes" }'): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: ${labels} }
spec:
  automountServiceAccountToken: false
  containers: [{ name: c, image: none, volumeMounts: [{ name: id, mountPath: /id }] }]
  volumes: [{ name: id, projected: { sources: [{ podCertificate: { signerName: ${SIGNER}, credentialBundlePath: bundle.pem, ${source} } }] } }]
`;
}

interface Pod {
  readonly metadata: { readonly uid: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: { readonly phase: string };
}

interface Request {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly podName: string };
  readonly status: {
    readonly conditions?: readonly { type: string; reason: string; message: string }[];
    readonly certificateChain?: string;
  };
}

describe('pod certificates on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let server: TestServer;
  let uids: Record<'node' | 'account' | 'pod', string>;

  before(async () => {
    rig = await startKubeRig({ apiArgs: '--runtime-config=certificates.k8s.io/v1beta1=true' });
    for (const file of readdirSync(CRDS)) {
      await rig.kubectl(['apply', '-f', '-'], readFileSync(join(CRDS, file), 'utf8'));
    }
    await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    await rig.kubectl(['apply', '-f', '-'], ACCOUNT);
    await rig.kubectl(['apply', '-f', '-'], RULE);
    await rig.node('node-a');
    const cluster = {
      name: 'rack',
      kubeconfigPath: await rig.user('signet'),
      podCertificates: { signerDomain: 'signet.test', leaseNamespace: 'signet', grace: '3s' },
    };
    server = await TestServer.start({ kubernetes: { clusters: [cluster] } });
  });
  after(async () => {
    await server?.stop();
    await rig?.stop();
  });

  async function read<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await rig.kubectl(['get', '-o', 'json', '-n', 'shop', ...args])) as T;
  }

  /** The request about a pod, or of a name, once it is answered. */
  async function answered(name: string): Promise<Request> {
    for (;;) {
      const { items } = await read<{ items: readonly Request[] }>('podcertificaterequests');
      const found = items.find(
        ({ metadata, spec, status }) =>
          (metadata.name === name || spec.podName === name) && (status.conditions ?? []).length > 0,
      );
      if (found !== undefined) return found;
      await pause(100);
    }
  }

  async function running(name: string): Promise<Pod> {
    for (;;) {
      const found = await read<Pod>('pod', name);
      if (found.status.phase === 'Running') return found;
      await pause(100);
    }
  }

  /** Makes a request by hand, as anybody can who may create them. */
  async function forge(name: string, spec: Record<string, unknown>, version = 'v1'): Promise<void> {
    const object = requestObject(name, spec, version);
    await rig.kubectl(['create', '-f', '-'], JSON.stringify(object));
  }

  function requestObject(name: string, spec: Record<string, unknown>, version = 'v1'): object {
    const usual = {
      signerName: SIGNER,
      podName: 'web',
      podUID: uids.pod,
      nodeName: 'node-a',
      nodeUID: uids.node,
      serviceAccountName: 'default',
      serviceAccountUID: uids.account,
      maxExpirationSeconds: 3600,
      stubPKCS10Request: Buffer.from(makeCsr({})).toString('base64'),
    };
    return {
      apiVersion: `certificates.k8s.io/${version}`,
      kind: 'PodCertificateRequest',
      metadata: { name, namespace: 'shop' },
      spec: { ...usual, ...spec },
    };
  }

  async function verifies(chain: string): Promise<X509Certificate> {
    const [leaf, ...above] = chain
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .filter((text) => text.includes('BEGIN CERTIFICATE'))
      .map((text) => new X509Certificate(text));
    assert.ok(leaf !== undefined);
    const bundle = await ask(server.admin(), BundleService.getBundle, { outputMask: undefined });
    const roots = bundle.x509Authorities.map(({ asn1 }) => new X509Certificate(asn1));
    let last = leaf;
    for (const next of above) {
      assert.ok(last.verify(next.publicKey));
      last = next;
    }
    assert.ok(roots.some((root) => last.verify(root.publicKey)));
    return leaf;
  }

  it('are what a pod with a podCertificate volume starts with', async () => {
    await rig.kubectl(['apply', '-f', '-'], pod('web', 'keyType: ECDSAP256'));
    const { metadata } = await running('web');
    const file = join(
      rig.dir,
      `node-node-a/pods/${metadata.uid}/volumes/kubernetes.io~projected/id/bundle.pem`,
    );
    while (!existsSync(file)) await pause(100);
    const text = readFileSync(file, 'utf8');
    assert.match(text, /BEGIN PRIVATE KEY/);
    const leaf = await verifies(text.slice(text.indexOf('-----BEGIN CERTIFICATE')));
    assert.equal(leaf.subjectAltName, 'URI:spiffe://example.org/ns/shop/sa/default');
    const account = await read<Pod>('serviceaccount', 'default');
    const node = await read<Pod>('node', 'node-a');
    uids = { pod: metadata.uid, account: account.metadata.uid, node: node.metadata.uid };
    for (;;) {
      const { items } = await read<{ items: readonly { reason: string }[] }>('events');
      if (items.some(({ reason }) => reason === 'PodCertificateIssued')) break;
      await pause(100);
    }
  });

  it('are denied for keys that nothing is issued for, and for unknown annotations', async () => {
    await rig.kubectl(['apply', '-f', '-'], pod('ed', 'keyType: ED25519'));
    const [ed] = (await answered('ed')).status.conditions ?? [];
    assert.deepEqual([ed?.type, ed?.reason], ['Denied', 'UnsupportedKeyType']);
    const annotated = 'keyType: ECDSAP256, userAnnotations: { "other.test/x": "1" }';
    await rig.kubectl(['apply', '-f', '-'], pod('noted', annotated));
    const [noted] = (await answered('noted')).status.conditions ?? [];
    assert.deepEqual([noted?.type, noted?.reason], ['Denied', 'InvalidUnverifiedUserAnnotations']);
  });

  it('come once there is a rule for the pod, within the grace', async () => {
    await rig.kubectl(['apply', '-f', '-'], pod('late', 'keyType: ECDSAP256', '{}'));
    for (;;) {
      const { items } = await read<{ items: readonly Request[] }>('podcertificaterequests');
      if (items.some(({ spec }) => spec.podName === 'late')) break;
      await pause(50);
    }
    await rig.kubectl(['label', 'pod', '-n', 'shop', 'late', 'id=yes']);
    const [condition] = (await answered('late')).status.conditions ?? [];
    assert.equal(condition?.type, 'Issued');
  });

  it('are denied where no rule comes', async () => {
    await rig.kubectl(['apply', '-f', '-'], pod('nobody', 'keyType: ECDSAP256', '{}'));
    const [condition] = (await answered('nobody')).status.conditions ?? [];
    assert.deepEqual([condition?.type, condition?.reason], ['Denied', 'PodNoIdentity']);
    assert.match(condition?.message ?? '', /signet rule explain/);
  });

  it('are denied to who makes requests about pods that are not so', async () => {
    await rig.kubectl(['create', 'serviceaccount', '-n', 'shop', 'other']);
    await forge('other-account', { serviceAccountName: 'other' });
    await forge('other-node', { nodeName: 'node-b' });
    await forge('other-node-uid', { nodeUID: 'x' });
    await forge('other-pod-uid', { podUID: 'x' });
    await forge('other-account-uid', { serviceAccountUID: 'x' });
    await forge('no-pod', { podName: 'none' });
    const names = ['other-account', 'other-node', 'other-node-uid', 'other-pod-uid'];
    for (const name of [...names, 'other-account-uid', 'no-pod']) {
      const { status } = await answered(name);
      const [condition] = status.conditions ?? [];
      const reason = ['other-account', 'other-node'].includes(name) ? 'PodMismatch' : 'PodUnknown';
      assert.deepEqual([name, condition?.type, condition?.reason], [name, 'Denied', reason]);
      assert.equal(status.certificateChain, undefined);
    }
  });

  it('are answered by the hundreds a second', async (context) => {
    const api = unwrap(
      await openKubeApi({ kubeconfigPath: rig.kubeconfig }, { clock: systemClock }),
    );
    const path = '/apis/certificates.k8s.io/v1/namespaces/shop/podcertificaterequests';
    const count = 1_000;
    const beganMs = performance.now();
    const made = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        api.request({
          verb: 'create',
          path,
          timeoutMs: 60_000,
          body: requestObject(`burst-${index}`, {}),
        }),
      ),
    );
    const createdMs = performance.now();
    assert.ok(made.every(({ ok }) => ok));
    for (;;) {
      const list = unwrap(await api.request({ verb: 'list', path, timeoutMs: 60_000 }));
      const done = objectsAt(list, 'items').filter(
        (item) =>
          textAt(item, 'metadata', 'name')?.startsWith('burst-') &&
          textAt(item, 'status', 'certificateChain') !== undefined,
      );
      if (done.length === count) break;
      await pause(50);
    }
    const tookMs = Math.round(performance.now() - beganMs);
    context.diagnostic(
      `${count} made in ${Math.round(createdMs - beganMs)} ms, all answered in ${tookMs} ms`,
    );
    api.close();
  });

  it('are signed for kubelets older than 1.36 too, by their proof of the key', async () => {
    const nodeInfo = { kubeletVersion: 'v1.35.2' };
    const old = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-old' } };
    await rig.kubectl(['create', '-f', '-'], JSON.stringify(old));
    const patch = JSON.stringify({ status: { nodeInfo } });
    const target = ['node', 'node-old', '--subresource=status', '--type=merge'];
    await rig.kubectl(['patch', ...target, '-p', patch]);
    for (const type of ['ec', 'rsa'] as const) {
      const { privateKey, publicKey } =
        type === 'ec'
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
          : generateKeyPairSync('rsa', { modulusLength: 3072 });
      const message = Buffer.from(uids.pod);
      const key = type === 'ec' ? privateKey : { key: privateKey, padding: 6, saltLength: 32 };
      await forge(
        `old-${type}`,
        {
          stubPKCS10Request: undefined,
          pkixPublicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
          proofOfPossession: sign('sha256', message, key).toString('base64'),
        },
        'v1beta1',
      );
      const { status } = await answered(`old-${type}`);
      assert.deepEqual(
        status.conditions?.map(({ type }) => type),
        ['Issued'],
      );
      const leaf = await verifies(status.certificateChain ?? '');
      assert.ok(leaf.publicKey.equals(publicKey));
    }
  });
});
