import { z } from 'zod';
import { isLinkLocal } from '../../src/attestation/dpu_host/link-local.ts';
import { hostSchema } from '../../src/attestation/dpu_host/payload.ts';
import { absolutePathSetting } from '../../src/runtime/config.ts';
import { countSetting } from '../../src/runtime/units.ts';

const { serial, uuid, pf0Mac } = hostSchema.shape;

/** Schema of the `voucher` section of `agent.yaml`. */
export const voucherSchema = z
  .strictObject({
    listen: z
      .strictObject({
        address: z
          .string()
          .regex(/^[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9._-]{1,15})?$/, 'must be an IP address')
          .describe('Link-local, with its interface: fe80::1%tmfifo_net0 or 169.254.10.1.'),
        port: z.int().min(0).max(65_535).describe('Port; 0 takes a free one.'),
        anyAddress: z
          .boolean()
          .default(false)
          .describe('Lets go of the link-local address: for tests only, any host could ask.'),
      })
      .refine(({ address, anyAddress }) => anyAddress || isLinkLocal(address), {
        path: ['address'],
        message: 'must be link-local: in 169.254.0.0/16 or fe80::/10',
      })
      .describe('Where the agent of the host asks; only the link to the host may reach it.'),
    hostBootPath: absolutePathSetting
      .optional()
      .describe(
        'File that something on this card writes anew whenever the host is reset: a key of a new boot is believed only with it.',
      ),
    host: z
      .strictObject({
        serial: serial.default('').describe('Serial number of the host.'),
        uuid: uuid.default('').describe('UUID of the host.'),
        pf0Mac: pf0Mac.default('').describe('MAC address of PF0 as the host sees it.'),
      })
      .prefault({})
      .describe('What this card knows of its host; the host states the rest of itself.'),
    tenant: z.string().max(128).default('').describe('As the inventory of the server has it.'),
    perMinute: countSetting(30).describe('Requests by keys that are not the known one.'),
  })
  .describe('Vouches for the agent of the host that this DPU sits in (docs/dpu-host.md).');

/** The `voucher` section as it is used. */
export type VoucherSettings = z.output<typeof voucherSchema>;
