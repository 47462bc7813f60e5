import { z } from 'zod';
import { absolutePathSetting } from '../runtime/config.ts';

/** Name of a cluster: a segment of its agents' IDs (SPIFFE-ID §2.2). */
export function clusterNameSetting(maxLength: number): z.ZodString {
  return z
    .string()
    .max(maxLength)
    .regex(/^(?!\.{1,2}$)[A-Za-z0-9._-]+$/, 'must be letters, digits, ".", "_" and "-"');
}

/** Members of a configuration that say which cluster, and as whom. */
export const kubePlaceSettings = {
  kubeconfigPath: absolutePathSetting
    .optional()
    .describe('A kubeconfig; the service account of the pod unless set.'),
  context: z
    .string()
    .min(1)
    .optional()
    .describe('Context of the kubeconfig; its current one unless set.'),
};
