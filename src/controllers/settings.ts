import { z } from 'zod';
import { clusterNameSetting, kubePlaceSettings } from '../kube/settings.ts';
import { DEFAULT_PARENT_ID_TEMPLATE } from '../rules/kube/render.ts';
import { parseTemplate } from '../rules/template/template.ts';
import { parsedSetting } from '../runtime/config.ts';
import { bundleSettings } from './bundle/settings.ts';
import { kubeConnectorsSchema } from './connector/settings.ts';
import { issuersSchema } from './issuer/settings.ts';
import { istioSchema } from './istio/settings.ts';
import { kubeName, podCertificatesSchema } from './pod-certificate/settings.ts';

const pattern = z
  .string()
  .max(256)
  .transform((text, context) => {
    try {
      return new RegExp(text, 'u');
    } catch {
      context.addIssue({ code: 'custom', message: 'is no regular expression' });
      return z.NEVER;
    }
  });

const pathPrefix = z
  .string()
  .max(1024)
  .regex(/^(\/[a-zA-Z0-9._-]+)+$/, 'must be a path such as /rack-1')
  .refine((path) => !path.split('/').some((segment) => segment === '.' || segment === '..'), {
    message: 'must have no segments . and ..',
  });

const statusSchema = z
  .strictObject({
    leaseNamespace: kubeName.describe('Namespace of the Lease by which one server writes.'),
    leaseName: kubeName.default('signet-rules').describe('Name of that Lease.'),
  })
  .optional()
  .describe('Writes into the status of rules what they do; not written unless set.');

const rulesSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('Off where a cluster is only published to: then nothing of it is read for rules.'),
    clusterDomain: z
      .string()
      .max(253)
      .default('cluster.local')
      .describe('What DNS names of services end in; empty leaves the full ones out.'),
    className: z
      .string()
      .max(253)
      .default('')
      .describe('Rules with this className are acted on, others are left to others.'),
    watchClassless: z
      .boolean()
      .default(false)
      .describe('Whether rules without a className are acted on too.'),
    ignoreNamespaces: z
      .array(pattern)
      .max(64)
      .prefault(['^kube-system$', '^kube-public$', '^spire-system$'])
      .describe('Regular expressions of namespaces whose pods get nothing from rules.'),
    parentIdTemplate: parsedSetting(parseTemplate)
      .prefault(DEFAULT_PARENT_ID_TEMPLATE)
      .describe(
        "Renders the ID of a node's agent from the node, the cluster and the trust domain.",
      ),
    pathPrefixes: z
      .array(pathPrefix)
      .max(64)
      .default([])
      .describe(
        'Paths below which the SPIFFE IDs of its rules have to lie; they have no admin and downstream then. Anywhere unless set.',
      ),
    federatedTrustDomains: z
      .boolean()
      .optional()
      .describe(
        'Whether its ClusterFederatedTrustDomains make relationships (docs/federation.md). Unless set, where it has no pathPrefixes.',
      ),
    status: statusSchema,
  })
  .prefault({});

const clusterSchema = z.strictObject({
  name: clusterNameSetting(63).describe(
    'As templates see it in .ClusterName, and as agents attest by it.',
  ),
  ...kubePlaceSettings,
  rules: rulesSchema.describe('How entries are derived from ClusterSPIFFEIDs and their like.'),
  requireAttestedNode: z
    .boolean()
    .optional()
    .describe(
      'Whether what objects of Kubernetes ask for a pod needs the agent of its node to be attested. Unless set, once zones.rules has any.',
    ),
  podCertificates: podCertificatesSchema
    .optional()
    .describe('Signs PodCertificateRequests (docs/kubernetes-objects.md); off unless set.'),
  istio: istioSchema
    .optional()
    .describe(
      "Serves Istio's CreateCertificate to the cluster's mesh clients (docs/istio.md); off unless set.",
    ),
  issuers: issuersSchema
    .optional()
    .describe(
      'Signs for SignetIssuers and SignetClusterIssuers (docs/cert-manager.md); off unless set.',
    ),
  connectors: kubeConnectorsSchema
    .optional()
    .describe(
      'Follows ConnectorGroups and ConnectorSegments (docs/connectors-kubernetes.md); off unless set.',
    ),
  ...bundleSettings,
});

/** Whether a cluster has something answered for its pods. */
function asksForPods(cluster: z.output<typeof clusterSchema>): boolean {
  const { podCertificates, istio, issuers } = cluster;
  return [podCertificates, istio, issuers].some((one) => one !== undefined);
}

const ID_PART = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/** `kubernetes` of `server.yaml`. */
export const kubernetesSchema = z
  .strictObject({
    clusters: z
      .array(clusterSchema)
      .max(64)
      .refine((clusters) => new Set(clusters.map(({ name }) => name)).size === clusters.length, {
        message: 'has two clusters of one name',
      })
      .refine((clusters) => clusters.every((one) => one.rules.enabled || !asksForPods(one)), {
        message:
          'has a cluster whose rules are not enabled: they say who the pods are that it serves',
      })
      .refine((clusters) => clusters.every((one) => !one.connectors || ID_PART.test(one.name)), {
        message:
          'has a cluster with connectors whose name is not of lower-case letters, digits, "." and "-": it stands in the IDs of segments',
      })
      .default([])
      .describe('Clusters whose pods get their entries from rules (docs/kubernetes-rules.md).'),
  })
  .prefault({});

/** One cluster of `kubernetes.clusters`. */
export type KubernetesCluster = z.output<typeof clusterSchema>;
