import { z } from 'zod';
import { durationSetting } from '../runtime/units.ts';

/** `attestation.dpu.watch` of `server.yaml`. */
export const dpuWatchSchema = z
  .strictObject({
    interval: durationSetting({ min: '10s', max: '24h' })
      .prefault('10m')
      .describe('Pause between two looks at one card.'),
    jitter: z
      .number()
      .min(0)
      .max(0.5)
      .default(0.1)
      .describe('By which share of it a pause is longer or shorter.'),
    zones: z
      .array(z.int().min(0).max(2))
      .min(1)
      .max(3)
      .optional()
      .describe('Zones whose cards are looked at; all of them unless set.'),
    events: z
      .boolean()
      .default(false)
      .describe('Whether events of the BMCs are followed too, as reasons to look at once.'),
  })
  .optional()
  .describe(
    'The server looks at commissioned cards by itself, through their BMCs; unless it is there, only when asked.',
  );
