import { z } from 'zod';
import { KEY_TYPES } from '../keys/key-manager.ts';
import { durationSetting } from '../runtime/units.ts';

/** Text that goes into a certificate's subject (RFC 5280: at most 64 characters). */
const nameText = z
  .string()
  .regex(/^[\x20-\x7e]{1,64}$/, 'must be 1 to 64 printable ASCII characters');

/** The `connectors.enrolmentRoot` section. */
export const enrolmentRootSchema = z
  .strictObject({
    keyType: z
      .enum(KEY_TYPES)
      .default('ec-p384')
      .describe('Key of the root; only a root that is not made yet takes it.'),
    ttl: durationSetting({ min: '1d', max: '7300d' })
      .prefault('3650d')
      .describe('Life of the root, once it is made.'),
    caTtl: durationSetting({ min: '1h', max: '7300d' })
      .prefault('1825d')
      .describe("Longest life of a vendor's enrolment CA, and the usual one."),
    subject: z
      .strictObject({
        country: z.string().length(2).optional().describe('Subject of the root.'),
        organization: nameText.optional().describe('Subject of the root.'),
        commonName: nameText
          .default('Connector Enrolment Root')
          .describe('Subject of the root; a serial number follows, so that no other has it.'),
      })
      .prefault({}),
  })
  .optional()
  .describe("Signs vendors' enrolment CAs, by a root outside of SPIFFE (docs/zpa.md).");

/** What `connectors.enrolmentRoot` says. */
export type EnrolmentRootSettings = NonNullable<z.output<typeof enrolmentRootSchema>>;
