import { z } from 'zod';
import { parseBmcOrigin, parseTlsPins } from '../../../src/redfish/place.ts';
import { absolutePathSetting, parsedSetting } from '../../../src/runtime/config.ts';

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
    bmc: z
      .strictObject({
        address: parsedSetting(parseBmcOrigin).describe(
          "The card's own BMC, over the path inside the card.",
        ),
        tlsPin: parsedSetting(parseTlsPins).describe(
          'cert-sha256:<hex> or spki-sha256:<hex> of its certificate; several divided by commas.',
        ),
        userNamePath: absolutePathSetting.optional().describe('Else the variable SIGNET_BMC_USER.'),
        passwordPath: absolutePathSetting
          .optional()
          .describe('Else the variable SIGNET_BMC_PASSWORD.'),
        method: z
          .enum(['session', 'basic'])
          .default('session')
          .describe('How it is logged in; basic for BMCs without a session service.'),
      })
      .describe('Where the evidence is collected.'),
    joinSecretPath: absolutePathSetting
      .optional()
      .describe(
        'The one-time secret that the image of this card brought, for its first attestation.',
      ),
  })
  .describe('Attests by the hardware identity of the DPU that the agent runs on.');

/** `attestation.dpu` as it is used. */
export type DpuAgentSettings = z.output<typeof dpuAgentSchema>;
