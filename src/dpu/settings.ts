import { z } from 'zod';
import { countSetting, durationSetting } from '../runtime/units.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

const execSchema = z
  .strictObject({
    path: absolutePath.describe('Program; it is run without a shell, the order on standard input.'),
    args: z.array(z.string().max(4096)).max(64).prefault([]).describe('Its arguments.'),
    timeout: durationSetting({ min: '100ms', max: '10m' })
      .prefault('30s')
      .describe('It is killed after so long.'),
  })
  .optional()
  .describe('A program that isolates a node, or lets it back.');

const webhookSchema = z
  .strictObject({
    url: z
      .string()
      .max(2048)
      .regex(/^https:\/\/[^\s@#]+$/, 'must be a URL with https')
      .describe('Called with POST, the order as JSON.'),
    bearerPath: absolutePath.optional().describe('File with a token that goes with each call.'),
    hmacKeyPath: absolutePath
      .optional()
      .describe('File with a key that signs the body (header Signet-Signature).'),
    caPath: absolutePath
      .optional()
      .describe("Certificates (PEM) for the other side's own; the system's unless set."),
    timeout: durationSetting({ min: '100ms', max: '5m' })
      .prefault('10s')
      .describe('Longest wait for one answer.'),
    attempts: countSetting(5, 100).describe('Calls until it is given up.'),
  })
  .optional()
  .describe('An address that is called to isolate a node, or let it back.');

/** Schema of the `dpu` section. */
export const dpuSchema = z
  .strictObject({
    unreachableGrace: durationSetting({ min: '1s', max: '24h' })
      .prefault('10m')
      .describe('How long the BMC of an attested DPU may be silent before it is quarantined.'),
    keptEvidence: countSetting(8, 1000).describe(
      'Pieces of evidence that are kept of one DPU, in dataDir/dpu-evidence.',
    ),
    hostBmc: z
      .strictObject({
        userNamePath: absolutePath.optional().describe('Else the variable SIGNET_HOST_BMC_USER.'),
        passwordPath: absolutePath
          .optional()
          .describe('Else the variable SIGNET_HOST_BMC_PASSWORD.'),
        method: z.enum(['session', 'basic']).default('session').describe('How it is logged in to.'),
        every: durationSetting({ min: '1m', max: '30d' })
          .prefault('1h')
          .describe('How often they are asked again.'),
      })
      .optional()
      .describe(
        'Account by which the BMCs of hosts are asked which card sits there; where they are says the inventory.',
      ),
    isolation: z
      .strictObject({ exec: execSchema, webhook: webhookSchema })
      .prefault({})
      .describe('What has the network follow a quarantine. It has no say in whether there is one.'),
  })
  .prefault({});
