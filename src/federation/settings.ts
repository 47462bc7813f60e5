import { z } from 'zod';
import { absolutePathSetting, hostSetting } from '../runtime/config.ts';
import { durationSetting } from '../runtime/units.ts';

const bundleEndpointSchema = z
  .strictObject({
    address: hostSetting.default('::').describe(':: is IPv4 and IPv6.'),
    port: z.int().min(0).max(65_535).default(8443).describe('0 chooses a free one.'),
    profile: z
      .enum(['https_spiffe', 'https_web'])
      .default('https_spiffe')
      .describe("Who it is to others: by the server's SVID, or by the certificate of the files."),
    certificatePath: absolutePathSetting
      .optional()
      .describe(
        'PEM of the certificate and its chain, with https_web; read again when it changes.',
      ),
    keyPath: absolutePathSetting.optional().describe('PEM of its key, with https_web.'),
  })
  .superRefine(({ profile, certificatePath, keyPath }, context) => {
    const given = certificatePath !== undefined || keyPath !== undefined;
    const both = certificatePath !== undefined && keyPath !== undefined;
    if (profile === 'https_web' ? both : !given) return;
    const message =
      profile === 'https_web'
        ? 'https_web needs certificatePath and keyPath'
        : 'certificatePath and keyPath are for https_web';
    context.addIssue({ code: 'custom', path: ['profile'], message });
  });

const fetchSchema = z
  .strictObject({
    minInterval: durationSetting({ min: '1s', max: '24h' })
      .prefault('1m')
      .describe('Shortest time between two fetches of a bundle, whatever its refresh hint says.'),
    maxInterval: durationSetting({ min: '1s', max: '24h' })
      .prefault('1h')
      .describe('Longest time between two fetches of a bundle.'),
    timeout: durationSetting({ min: '1s', max: '5m' })
      .prefault('30s')
      .describe('Longest time for one fetch, connecting included.'),
    caPath: absolutePathSetting
      .optional()
      .describe('PEM of CAs that https_web endpoints lead to, in place of the public ones.'),
  })
  .refine(({ minInterval, maxInterval }) => minInterval <= maxInterval, {
    path: ['minInterval'],
    message: 'must not be longer than maxInterval',
  })
  .prefault({});

/** Schema of the `federation` section. */
export const federationSchema = z
  .strictObject({
    bundleEndpoint: bundleEndpointSchema
      .optional()
      .describe('Serves the bundle of this trust domain to others over HTTPS; off unless set.'),
    fetch: fetchSchema.describe('Fetching the bundles of other trust domains.'),
  })
  .prefault({});

/** The `federation` section. */
export type FederationSettings = z.output<typeof federationSchema>;

/** Where and as whom the bundle is served. */
export type BundleEndpointSettings = NonNullable<FederationSettings['bundleEndpoint']>;
