import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { ask, type TestServer } from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';
import type { KubeRig } from './kube-rig.ts';

/** The signer that the servers of these tests are. */
export const SIGNER = 'signet.test/spiffe';

const CRDS = 'charts/signet-crds/files';

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

/** Gives a cluster our kinds, an account `signet` with its rights, two namespaces and a rule. */
export async function prepare(rig: KubeRig): Promise<void> {
  for (const file of readdirSync(CRDS)) {
    await rig.kubectl(['apply', '-f', '-'], readFileSync(join(CRDS, file), 'utf8'));
  }
  await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  await rig.kubectl(['apply', '-f', '-'], ACCOUNT);
  await rig.kubectl(['apply', '-f', '-'], RULE);
}

/** A pod of the namespace `shop` with a certificate; on a node of its own choice where `more` says so. */
export function certifiedPod(
  name: string,
  source: string,
  labels = '{ id: "yes" }',
  more = '',
): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: ${labels} }
spec:
  automountServiceAccountToken: false
  containers: [{ name: c, image: none, volumeMounts: [{ name: id, mountPath: /id }] }]
  volumes: [{ name: id, projected: { sources: [{ podCertificate: { signerName: ${SIGNER}, credentialBundlePath: bundle.pem, ${source} } }] } }]
${more}
`;
}

/** A pod, a node or an account as the API server has it. */
export interface Found {
  readonly metadata: { readonly uid: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: { readonly phase: string };
}

/** A PodCertificateRequest as the API server has it. */
export interface FoundRequest {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly podName: string };
  readonly status: {
    readonly conditions?: readonly { type: string; reason: string; message: string }[];
    readonly certificateChain?: string;
  };
}

/** Reads something of the namespace `shop`. */
export async function read<T>(rig: KubeRig, ...args: readonly string[]): Promise<T> {
  return JSON.parse(await rig.kubectl(['get', '-o', 'json', '-n', 'shop', ...args])) as T;
}

/** The request about a pod, or of a name, once it is answered. */
export async function answered(rig: KubeRig, name: string): Promise<FoundRequest> {
  for (;;) {
    const { items } = await read<{ items: readonly FoundRequest[] }>(rig, 'podcertificaterequests');
    const found = items.find(
      ({ metadata, spec, status }) =>
        (metadata.name === name || spec.podName === name) && (status.conditions ?? []).length > 0,
    );
    if (found !== undefined) return found;
    await pause(100);
  }
}

/** How a request, or the one about a pod, was answered: `Denied PodUnknown`. */
export async function outcomeOf(rig: KubeRig, name: string): Promise<string> {
  const [condition] = (await answered(rig, name)).status.conditions ?? [];
  return `${condition?.type} ${condition?.reason}`;
}

/** The pod once it runs. */
export async function running(rig: KubeRig, name: string): Promise<Found> {
  for (;;) {
    const found = await read<Found>(rig, 'pod', name);
    if (found.status.phase === 'Running') return found;
    await pause(100);
  }
}

/** A request as anybody can make it who may create them, of what it says beside a CSR that is good. */
export function requestObject(
  name: string,
  spec: Readonly<Record<string, unknown>>,
  version = 'v1',
): object {
  const stubPKCS10Request = Buffer.from(makeCsr({})).toString('base64');
  return {
    apiVersion: `certificates.k8s.io/${version}`,
    kind: 'PodCertificateRequest',
    metadata: { name, namespace: 'shop' },
    spec: { signerName: SIGNER, maxExpirationSeconds: 3600, stubPKCS10Request, ...spec },
  };
}

/** What a kubelet would say of a pod in its request. */
export async function claimOf(rig: KubeRig, podName: string): Promise<Record<string, string>> {
  const pod = await read<Found>(rig, 'pod', podName);
  const nodeName = pod.spec.nodeName ?? '';
  const account = await read<Found>(rig, 'serviceaccount', 'default');
  const node = await read<Found>(rig, 'node', nodeName);
  return {
    podName,
    podUID: pod.metadata.uid,
    nodeName,
    nodeUID: node.metadata.uid,
    serviceAccountName: 'default',
    serviceAccountUID: account.metadata.uid,
  };
}

/** The leaf of a chain, which has to lead to the server's bundle. */
export async function verified(server: TestServer, chain: string): Promise<X509Certificate> {
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
  assert.ok(
    roots.some((root) => last.verify(root.publicKey)),
    'the chain leads elsewhere',
  );
  return leaf;
}
