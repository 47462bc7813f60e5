import { z } from 'zod';
import { durationSetting } from '../../runtime/units.ts';
import { kubeName } from '../pod-certificate/settings.ts';

const account = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{0,252}\/[a-z0-9][a-z0-9.-]{0,252}$/, 'must be namespace/name');

/** `kubernetes.clusters[].issuers`. */
export const issuersSchema = z.strictObject({
  leaseNamespace: kubeName.describe('Namespace of the Lease by which one server signs.'),
  leaseName: kubeName.default('signet-issuers').describe('Name of that Lease.'),
  certificateRequests: z
    .boolean()
    .default(true)
    .describe('Whether CertificateRequests of cert-manager are answered.'),
  signingRequests: z
    .boolean()
    .default(false)
    .describe('Whether CertificateSigningRequests of Kubernetes are answered.'),
  podRequests: z
    .boolean()
    .default(false)
    .describe(
      "Whether a pod that makes a CertificateRequest itself gets its own identity. Needs cert-manager's webhook: without it, whoever may make one says freely which pod he is.",
    ),
  controllerAccounts: z
    .array(account)
    .max(16)
    .default(['cert-manager/cert-manager'])
    .describe(
      'Service accounts that make CertificateRequests for others, as namespace/name: their own pods are not meant.',
    ),
  retryFor: durationSetting({ min: '1s', max: '24h' })
    .prefault('10m')
    .describe(
      'How long a request that cannot be answered yet is tried, before it has failed for good. For an issuer it waits without end.',
    ),
});

/** What the issuers of one cluster are told. */
export type IssuerSettings = z.output<typeof issuersSchema>;
