import { z } from 'zod';
import { durationSetting } from '../runtime/units.ts';

/** Schema of the `ledger` section. */
export const ledgerSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('Whether everything signed is recorded first, in dataDir/ledger.'),
    protection: z
      .enum(['file', 'sealed'])
      .optional()
      .describe(
        'How the key that signs checkpoints lies in dataDir: as it is, or encrypted by the key ' +
          'manager. Unless set: sealed with keys outside the process, else file.',
      ),
    checkpointInterval: durationSetting({ min: '100ms', max: '1h' })
      .prefault('500ms')
      .describe('Longest time from a record to a signed checkpoint that covers it.'),
    retention: durationSetting({ min: '1h', max: '36500d' })
      .optional()
      .describe('How long bodies of records are kept; for ever unless set. The tree stays.'),
    copy: z
      .strictObject({
        enabled: z
          .boolean()
          .default(false)
          .describe('Whether tiles and checkpoints are copied to the database.'),
        every: durationSetting({ min: '100ms', max: '1h' })
          .prefault('10s')
          .describe('Pause between two rounds of copying.'),
        maxLag: durationSetting({ min: '1m', max: '365d' })
          .prefault('24h')
          .describe('Lag of the copy after which no SVIDs are issued.'),
      })
      .prefault({}),
    witnesses: z
      .array(
        z.strictObject({
          url: z
            .string()
            .max(1024)
            .regex(/^https?:\/\/[^\s@?#]+$/, 'must be a URL such as https://witness.example.org')
            .describe('What /add-checkpoint follows.'),
          key: z.string().max(512).describe('Its verifier key, name+id+key.'),
          caPath: z
            .string()
            .startsWith('/', 'must be an absolute path')
            .optional()
            .describe("Certificates (PEM) for its own; the system's unless set."),
        }),
      )
      .max(16)
      .prefault([])
      .describe('Witnesses (C2SP tlog-witness) that cosign checkpoints; trust them to stop it.'),
    witnessEvery: durationSetting({ min: '1s', max: '24h' })
      .prefault('30s')
      .describe('Pause between two checkpoints that witnesses are asked to cosign.'),
    publish: z
      .boolean()
      .default(false)
      .describe('Whether the telemetry port serves /ledger/checkpoint and /ledger/tile/.'),
  })
  .prefault({});
