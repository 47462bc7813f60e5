import { z } from 'zod';

const ACCOUNT = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** `kubernetes.clusters[].istio`. */
export const istioSchema = z.strictObject({
  audiences: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(8)
    .default(['istio-ca'])
    .describe('What tokens of mesh clients must be for: one of these.'),
  clusterIds: z
    .array(z.string().min(1).max(253))
    .max(16)
    .default([])
    .describe(
      'What mesh clients call the cluster, beside its name; matters where several clusters are served.',
    ),
  trustedNodeAccounts: z
    .array(z.string().regex(ACCOUNT, 'must be <namespace>/<service account>'))
    .max(64)
    .default([])
    .describe(
      "Service accounts of node proxies (ztunnel), <namespace>/<name>: they may ask for what pods of their node have. Nobody's unless set.",
    ),
});

/** What the certificate service for one cluster is told. */
export type IstioSettings = z.output<typeof istioSchema>;
