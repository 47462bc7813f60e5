import { z } from 'zod';
import { joinTokenSchema, x509popSchema } from './attestor-settings.ts';
import { dpuAttestorSchema } from './dpu-attestor-settings.ts';

/** Schema of the `attestation` section of `server.yaml`. */
export const attestationSchema = z
  .strictObject({
    joinToken: joinTokenSchema,
    x509pop: x509popSchema,
    dpu: dpuAttestorSchema.optional(),
  })
  .prefault({})
  .describe('Node attestors: how agents prove their nodes. Those named are offered side by side.');
