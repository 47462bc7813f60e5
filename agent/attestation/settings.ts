import { z } from 'zod';
import { dpuAgentSchema } from './dpu/settings.ts';
import { dpuHostAgentSchema } from './dpu_host/settings.ts';
import { k8sPsatAgentSchema } from './k8s_psat/settings.ts';
import { tpmAgentSchema, tpmDevidAgentSchema, x509popAgentSchema } from './method-settings.ts';

/** Schema of the `attestation` section of `agent.yaml`. */
export const agentAttestationSchema = z
  .strictObject({
    x509pop: x509popAgentSchema,
    tpm: tpmAgentSchema,
    tpmDevid: tpmDevidAgentSchema,
    dpu: dpuAgentSchema.optional(),
    dpuHost: dpuHostAgentSchema.optional(),
    k8sPsat: k8sPsatAgentSchema,
  })
  .superRefine((attestation, context) => {
    const named = Object.entries(attestation).filter(([, section]) => section !== undefined);
    if (named.length <= 1) return;
    const message = `names ${named.map(([name]) => name).join(' and ')}: an agent attests by one method`;
    context.addIssue({ code: 'custom', path: [], message });
  })
  .prefault({})
  .describe('How the agent proves its node; by join token where nothing is named here.');
