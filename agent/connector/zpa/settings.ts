import { z } from 'zod';
import { absolutePathSetting } from '../../../src/runtime/config.ts';
import { durationSetting } from '../../../src/runtime/units.ts';
import { patternsSchema } from './patterns.ts';

/** Folder in which an App Connector keeps its state, by the vendor's documents. */
const STATE_DIR = '/opt/zscaler/var';

const provisioningKeySchema = z
  .strictObject({
    path: absolutePathSetting
      .default(`${STATE_DIR}/provision_key`)
      .describe('Where the App Connector looks for its key, in a folder shared with it.'),
    stateDir: absolutePathSetting
      .default(STATE_DIR)
      .describe(
        'Its state: the key is asked for only while there is none, since each costs a use.',
      ),
    ignore: z
      .array(z.string().min(1).max(255))
      .max(64)
      .default(['image.bin', 'version', 'metadata', 'lost+found'])
      .describe('Names in stateDir that are no state of an enrolled connector.'),
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0600"')
      .default('0600')
      .transform((text) => Number.parseInt(text, 8))
      .describe('Octal; the App Connector must be able to read it.'),
  })
  .optional()
  .describe("Puts the vendor's key for the group there, from the server; off unless set.");

/** The `zpa` section of the companion: the ZPA App Connector beside it (docs/zpa.md). */
export const zpaWatcherSchema = z
  .strictObject({
    logPath: absolutePathSetting.describe(
      'Log of the App Connector: a file, also one that is rotated, or a pipe.',
    ),
    certificateDays: z
      .int()
      .min(0)
      .max(3650)
      .default(14)
      .describe('Degraded where its own certificate ends in fewer days.'),
    disconnectedFor: durationSetting({ min: '1s', max: '1d' })
      .prefault('2m')
      .describe('Degraded where its control connection is down for so long.'),
    silentFor: durationSetting({ min: '1s', max: '1d' })
      .prefault('3m')
      .describe('Degraded where it wrote no status for so long; it does each minute.'),
    maxClockSkew: durationSetting({ min: '1s', max: '1h' })
      .prefault('5s')
      .describe('Degraded where its clock is further from that of the cloud.'),
    patterns: patternsSchema,
    provisioningKey: provisioningKeySchema,
  })
  .optional()
  .describe('Watches the ZPA App Connector that runs beside; off unless set.');

/** What `zpa` says. */
export type ZpaSettings = NonNullable<z.output<typeof zpaWatcherSchema>>;
