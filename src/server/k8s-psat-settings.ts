import { z } from 'zod';
import { MAX_CLUSTER_NAME } from '../attestation/k8s_psat/payload.ts';
import { clusterNameSetting, kubePlaceSettings } from '../kube/settings.ts';

const NAME = '[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?';
const serviceAccount = z
  .string()
  .regex(new RegExp(`^${NAME}:${NAME}$`), 'must be namespace:name of a service account');
const labelKeys = z.array(z.string().min(1).max(317)).max(64).default([]);

const clusterSchema = z.strictObject({
  name: clusterNameSetting(MAX_CLUSTER_NAME).describe('As agents call it; stands in their IDs.'),
  ...kubePlaceSettings,
  serviceAccounts: z
    .array(serviceAccount)
    .min(1)
    .max(64)
    .describe('Service accounts of agents, namespace:name; others do not attest.'),
  audiences: z
    .array(z.string().min(1).max(253))
    .min(1)
    .max(16)
    .default(['spire-server'])
    .describe('Whom a token must be for: one of these at least.'),
  nodeLabelKeys: labelKeys.describe('Labels of nodes that become selectors.'),
  podLabelKeys: labelKeys.describe("Labels of the agents' pods that become selectors."),
});

/** `attestation.k8sPsat` of `server.yaml`. */
export const k8sPsatSchema = z
  .strictObject({
    clusters: z
      .array(clusterSchema)
      .min(1)
      .max(256)
      .refine((clusters) => new Set(clusters.map(({ name }) => name)).size === clusters.length, {
        message: 'has two clusters of one name',
      })
      .describe('Clusters whose nodes may attest.'),
  })
  .optional()
  .describe("Agents in Kubernetes, by a projected service account token: SPIRE's k8s_psat.");

/** One cluster of `attestation.k8sPsat`. */
export type K8sPsatCluster = z.output<typeof clusterSchema>;
