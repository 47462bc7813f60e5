import { z } from 'zod';
import { ASSURANCE_BINDINGS } from '../rules/assurance.ts';

/** The path of a SPIFFE ID, or `/` for all. */
const pathSetting = z
  .string()
  .max(2048)
  .regex(/^\/$|^(\/[A-Za-z0-9._-]+)+$/, 'must be / or a path such as /db/primary');

const zoneSetting = z.int().min(0).max(2);

/** Schema of the `zones` section. */
export const zonesSchema = z
  .strictObject({
    rules: z
      .array(
        z.strictObject({
          path: pathSetting.describe(
            'Path of SPIFFE IDs; the rule holds for it and for all below. / is every one.',
          ),
          zones: z
            .array(zoneSetting)
            .min(1)
            .max(3)
            .optional()
            .describe(
              'Zones that the node may be in: 0 management, 1 data plane, 2 external. Any unless set.',
            ),
          assurance: z
            .enum(ASSURANCE_BINDINGS)
            .optional()
            .describe('How firmly the node must have attested, at least. Anyhow unless set.'),
          methods: z
            .array(z.string().min(1).max(64))
            .min(1)
            .max(16)
            .optional()
            .describe('Node attestors that the node may have used. Any unless set.'),
          mint: z
            .boolean()
            .default(false)
            .describe('Whether operators may make such identities by hand.'),
        }),
      )
      .max(1000)
      .prefault([])
      .describe('Demands on nodes. Every rule that fits an identity has to be met.'),
    nodes: z
      .array(
        z.strictObject({
          path: pathSetting.describe("Path of agents' IDs, such as /spire/agent/k8s_psat/east."),
          zone: zoneSetting.describe('Their zone.'),
        }),
      )
      .max(1000)
      .prefault([])
      .describe('Zones of nodes without a DPU in the inventory; the first that fits.'),
  })
  .prefault({});
