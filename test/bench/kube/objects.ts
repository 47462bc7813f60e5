import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KubeRig } from '../../peers/kube-rig.ts';

const CRDS = 'charts/signet-crds/files';

/** Domain of the signer. */
export const SIGNER_DOMAIN = 'signet.test';

/** The rule that gives every pod of namespace `shop` its identity. */
export const RULE_PATH = '/apis/spire.spiffe.io/v1alpha1/clusterspiffeids/all';

/** What the SPIFFE IDs of that rule are, with a word in it to change. */
export function template(word: string): string {
  return `spiffe://{{ .TrustDomain }}/${word}/{{ .PodMeta.Namespace }}/{{ .PodMeta.Name }}`;
}

/** Namespaces, service accounts, and the rule. */
export const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: web, namespace: shop }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: agent, namespace: signet }
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: all }
spec:
  spiffeIDTemplate: "${template('first')}"
  namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: shop } }
`;

/** Everything on: rules with their status, pod certificates, bundles, agents by k8s_psat. */
export const SERVER_YAML = `kubernetes:
  clusters:
    - name: rack
      kubeconfigPath: KUBECONFIG
      requireAttestedNode: true
      rules: { status: { leaseNamespace: signet } }
      podCertificates: { signerDomain: ${SIGNER_DOMAIN}, leaseNamespace: signet }
      bundleLease: { namespace: signet }
      trustBundles: [{ signerName: ${SIGNER_DOMAIN}/spiffe }]
      configMaps: [{ namespace: signet }]
attestation:
  k8sPsat:
    clusters:
      - { name: rack, kubeconfigPath: KUBECONFIG, serviceAccounts: ["signet:agent"] }
`;

/** The account of the server: what the docs say that it needs. */
export function serverAccount(): string {
  const rule = (apiGroups: string, resources: string, verbs: string, names = ''): string =>
    `- { apiGroups: [${apiGroups}], resources: [${resources}], verbs: [${verbs}]${names} }`;
  return `
apiVersion: v1
kind: Namespace
metadata: { name: signet }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: signet }
rules:
${rule('""', 'pods, nodes, namespaces, serviceaccounts', 'get, list, watch')}
${rule('discovery.k8s.io', 'endpointslices', 'list, watch')}
${rule('spire.spiffe.io, signet.dev', '"*"', 'list, watch, patch')}
${rule('certificates.k8s.io', 'podcertificaterequests', 'list, watch')}
${rule('certificates.k8s.io', 'podcertificaterequests/status', 'patch')}
${rule('certificates.k8s.io', 'signers', 'sign, attest', `, resourceNames: [${SIGNER_DOMAIN}/spiffe]`)}
${rule('certificates.k8s.io', 'clustertrustbundles', 'list, watch, create, patch')}
${rule('""', 'configmaps', 'list, watch, create, patch')}
${rule('""', 'events', 'create')}
${rule('coordination.k8s.io', 'leases', 'get, create, update')}
${rule('authentication.k8s.io', 'tokenreviews', 'create')}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: signet }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: signet }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: signet }]
`;
}

/** Applies the definitions of our kinds. */
export async function applyFiles(rig: KubeRig): Promise<void> {
  for (const file of readdirSync(CRDS)) {
    await rig.kubectl(['apply', '-f', '-'], readFileSync(join(CRDS, file), 'utf8'));
  }
  await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
}
