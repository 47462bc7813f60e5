import { z } from 'zod';
import { durationSetting } from '../../runtime/units.ts';

const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const kubeName = z.string().regex(NAME, 'must be a name of Kubernetes');

/** A name in the form domain/name, as signers have it. */
const SIGNER =
  /^(?=.{3,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+\/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_KEY =
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;

const labels = z
  .record(
    z.string().regex(LABEL_KEY, 'must be the key of a label'),
    z.string().regex(LABEL_VALUE, 'must be the value of a label'),
  )
  .default({});

const trustBundleSchema = z.strictObject({
  signerName: z
    .string()
    .regex(SIGNER, 'must be a signer such as example.org/spiffe')
    .optional()
    .describe('Signer that the bundle belongs to; unset for a bundle that belongs to none.'),
  name: kubeName
    .optional()
    .describe(
      'Name of the object, after its signer where it has one; the trust domain unless set.',
    ),
  channel: z
    .enum(['live', 'canary'])
    .default('live')
    .describe('What the label signet.dev/canarying says, so that pods can choose.'),
  draftLabels: z
    .boolean()
    .default(false)
    .describe(
      'Whether it also bears the labels of a SPIFFE draft, k8s.spiffe.io/canarying and /workload-trust-domain.',
    ),
  labels: labels.describe('More labels of the object.'),
  federated: z
    .boolean()
    .default(false)
    .describe(
      'Whether one for each trust domain whose bundle is held here is published beside it.',
    ),
});

const configMapSchema = z
  .strictObject({
    namespace: kubeName.optional().describe('Namespace of the ConfigMap.'),
    namespaceSelector: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .describe(
        'In place of one namespace: a label selector, for a ConfigMap in each that matches.',
      ),
    name: kubeName.default('spire-bundle').describe('Name of the ConfigMap.'),
    key: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,253}$/, 'must be a key of a ConfigMap')
      .default('bundle.crt')
      .describe('Key of its data that holds the bundle.'),
    format: z
      .enum(['pem', 'spiffe', 'jwks'])
      .default('pem')
      .describe('PEM of the CA certificates, the SPIFFE document, or a JWK Set of the JWT keys.'),
    labels: labels.describe('Labels of the ConfigMap, as sources of trust-manager are chosen by.'),
    federated: z
      .boolean()
      .default(false)
      .describe(
        'Whether one for each trust domain whose bundle is held here is published beside it, as <name>.<trust domain>.',
      ),
  })
  .refine(
    ({ namespace, namespaceSelector }) =>
      (namespace === undefined) !== (namespaceSelector === undefined),
    'needs either namespace or namespaceSelector',
  );

/** How bundles are published in a cluster; part of `kubernetes.clusters[]`. */
export const bundleSettings = {
  trustBundles: z
    .array(trustBundleSchema)
    .max(16)
    .default([])
    .describe('ClusterTrustBundles that hold the CA certificates (docs/kubernetes-objects.md).'),
  configMaps: z
    .array(configMapSchema)
    .max(64)
    .default([])
    .describe('ConfigMaps that hold the bundle, as SPIRE writes its spire-bundle.'),
  bundleLease: z
    .strictObject({
      namespace: kubeName.describe('Namespace of the Lease by which one server publishes.'),
      name: kubeName.default('signet-bundles').describe('Name of that Lease.'),
    })
    .optional()
    .describe('Has one of several servers publish; each does unless set.'),
  bundleSettle: durationSetting({ max: '1h' })
    .prefault('2m')
    .describe('How long after a bundle is published new authorities wait for kubelets to have it.'),
};

/** One ClusterTrustBundle of configuration. */
export type TrustBundleSettings = z.output<typeof trustBundleSchema>;

/** One ConfigMap, or one in each of several namespaces, of configuration. */
export type ConfigMapSettings = z.output<typeof configMapSchema>;
