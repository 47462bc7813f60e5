import { z } from 'zod';
import { MAX_CLUSTER_NAME } from '../../../src/attestation/k8s_psat/payload.ts';

/** `attestation.k8sPsat` of `agent.yaml`. */
export const k8sPsatAgentSchema = z
  .strictObject({
    cluster: z
      .string()
      .min(1)
      .max(MAX_CLUSTER_NAME)
      .describe('Name of the cluster, as the server calls it.'),
    tokenPath: z
      .string()
      .startsWith('/', 'must be an absolute path')
      .default('/var/run/secrets/tokens/spire-agent')
      .describe("Projected token of the agent's service account, for the server's audience."),
  })
  .optional()
  .describe("By a projected service account token of Kubernetes, SPIRE's k8s_psat.");
