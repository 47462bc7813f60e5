import { z } from 'zod';
import { parseBmcOrigin, parseTlsPins } from '../../../src/redfish/place.ts';
import { absolutePathSetting, parsedSetting } from '../../../src/runtime/config.ts';
import { tpmAgentSchema } from '../method-settings.ts';

const bmcSchema = z
  .strictObject({
    address: parsedSetting(parseBmcOrigin).describe(
      "The card's own BMC, over the path inside the card.",
    ),
    tlsPin: parsedSetting(parseTlsPins).describe(
      'cert-sha256:<hex> or spki-sha256:<hex> of its certificate; several divided by commas.',
    ),
    userNamePath: absolutePathSetting.optional().describe('Else the variable SIGNET_BMC_USER.'),
    passwordPath: absolutePathSetting.optional().describe('Else the variable SIGNET_BMC_PASSWORD.'),
    method: z
      .enum(['session', 'basic'])
      .default('session')
      .describe('How it is logged in; basic for BMCs without a session service.'),
  })
  .optional()
  .describe('Where evidence of the kind spdm-redfish is collected.');

const endpoint = z
  .string()
  .regex(/^(?:\[[0-9A-Fa-f:.]+\]|[^:/\s[\]]+):\d{1,5}$/, 'must be host:port')
  .transform((text) => {
    const colon = text.lastIndexOf(':');
    const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
    return { host, port: Number(text.slice(colon + 1)) };
  })
  .refine(({ port }) => port >= 1 && port <= 65_535, 'must have a port of 1 to 65535');

const directSchema = z
  .strictObject({
    targets: z
      .array(
        z.strictObject({
          id: z
            .string()
            .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)
            .describe('Name of the component, as the server has it.'),
          address: endpoint.describe('Where it answers SPDM over TCP, such as 127.0.0.1:4194.'),
        }),
      )
      .min(1)
      .max(4)
      .describe('The components that are reached without a BMC.'),
    framing: z
      .enum(['tcp', 'emulator'])
      .default('tcp')
      .describe("tcp is DSP0287; emulator is for tests with DMTF's SPDM emulator."),
  })
  .superRefine(({ targets }, context) => {
    if (new Set(targets.map(({ id }) => id)).size === targets.length) return;
    context.addIssue({ code: 'custom', path: ['targets'], message: 'a target is there twice' });
  })
  .optional()
  .describe('Where evidence of the kinds spdm-direct and spdm-tunnel is collected.');

const keySchema = z
  .strictObject({
    certificatePath: absolutePathSetting.describe(
      "PEM: a certificate with the card's serial number, and CAs below the root if any.",
    ),
    privateKeyPath: absolutePathSetting.describe('PEM: its private key, RSA or EC, not encrypted.'),
    intermediatesPath: absolutePathSetting.optional().describe('PEM: more CAs below the root.'),
  })
  .optional()
  .describe('A key that the image brought; else one is made here when the server asks for it.');

/** `attestation.dpu` of `agent.yaml`. */
export const dpuAgentSchema = z
  .strictObject({
    serial: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe("Serial number of the card's board, by which the server looks it up."),
    serialPath: absolutePathSetting
      .default('/sys/class/dmi/id/product_serial')
      .describe('Where the serial number is read unless it is given.'),
    bmc: bmcSchema,
    direct: directSchema,
    key: keySchema,
    tpm: tpmAgentSchema.describe('A TPM of the card, for the kind tpm2.'),
    joinSecretPath: absolutePathSetting
      .optional()
      .describe(
        'The one-time secret that the image of this card brought, for its first attestation.',
      ),
  })
  .superRefine(({ bmc, direct }, context) => {
    if (bmc !== undefined || direct !== undefined) return;
    const message = 'names neither bmc nor direct: there is nowhere to collect evidence';
    context.addIssue({ code: 'custom', path: [], message });
  })
  .describe('Attests by the hardware identity of the DPU that the agent runs on.');

/** `attestation.dpu` as it is used. */
export type DpuAgentSettings = z.output<typeof dpuAgentSchema>;

/** `attestation.dpu.direct` as it is used. */
export type DirectSettings = NonNullable<DpuAgentSettings['direct']>;
