import { z } from 'zod';
import { absolutePathSetting, hostSetting } from '../../../src/runtime/config.ts';
import { tpmAgentSchema } from '../method-settings.ts';

/** `attestation.dpuHost` of `agent.yaml`. */
export const dpuHostAgentSchema = z
  .strictObject({
    address: hostSetting.describe(
      'Link-local address of the DPU, with its interface: fe80::1%tmfifo_net0 or 169.254.10.1.',
    ),
    port: z.int().min(1).max(65_535).describe('Port of voucher.listen in agent.yaml of the DPU.'),
    bootIdPath: absolutePathSetting
      .default('/proc/sys/kernel/random/boot_id')
      .describe('Where the boot id of the kernel is read.'),
    uuidPath: absolutePathSetting
      .default('/sys/class/dmi/id/product_uuid')
      .describe("Where the machine's UUID is read; root only."),
    serialPath: absolutePathSetting
      .default('/sys/class/dmi/id/product_serial')
      .describe("Where the machine's serial number is read; root only."),
    pf0MacPath: absolutePathSetting
      .optional()
      .describe('Such as /sys/class/net/enp3s0f0np0/address: PF0 of the DPU, as the host sees it.'),
    tpm: tpmAgentSchema.describe(
      'The TPM of this host, where the server looks at those of hosts; its event log is not read.',
    ),
  })
  .describe('Attests by the word of the DPU of this host (docs/dpu-host.md).');

/** `attestation.dpuHost` as it is used. */
export type DpuHostAgentSettings = z.output<typeof dpuHostAgentSchema>;
