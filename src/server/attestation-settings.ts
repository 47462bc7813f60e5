import { z } from 'zod';
import {
  dpuHostSchema,
  joinTokenSchema,
  tpmDevidSchema,
  tpmSchema,
  x509popSchema,
} from './attestor-settings.ts';
import { dpuAttestorSchema } from './dpu-attestor-settings.ts';
import { k8sPsatSchema } from './k8s-psat-settings.ts';

/** Schema of the `attestation` section of `server.yaml`. */
export const attestationSchema = z
  .strictObject({
    joinToken: joinTokenSchema,
    x509pop: x509popSchema,
    tpm: tpmSchema,
    tpmDevid: tpmDevidSchema,
    dpu: dpuAttestorSchema.optional(),
    dpuHost: dpuHostSchema,
    k8sPsat: k8sPsatSchema,
  })
  .prefault({})
  .describe('Node attestors: how agents prove their nodes. Those named are offered side by side.');
