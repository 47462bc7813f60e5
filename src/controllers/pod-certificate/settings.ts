import { z } from 'zod';
import { durationSetting } from '../../runtime/units.ts';

const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** A name as most objects of Kubernetes have it (RFC 1123 subdomain). */
export const kubeName = z.string().regex(NAME, 'must be a name of Kubernetes');

const DOMAIN = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/;

/** `kubernetes.clusters[].podCertificates`. */
export const podCertificatesSchema = z.strictObject({
  signerDomain: z
    .string()
    .regex(DOMAIN, 'must be a DNS name of at least two labels, in lower case')
    .refine((domain) => !/(^|\.)(kubernetes|k8s)\.io$/.test(domain), {
      message: 'must be a domain of your own',
    })
    .describe('The signer is called <signerDomain>/spiffe, its annotations <signerDomain>/….'),
  serviceDns: z
    .boolean()
    .default(false)
    .describe(
      'Whether <signerDomain>/service-dns signs too: with the DNS names of the services that select the pod.',
    ),
  grace: durationSetting({ min: '1s', max: '15m' })
    .prefault('2m')
    .describe(
      'How long a pod without a rule, or whose node is not attested yet, is waited for before it is denied, which is for good.',
    ),
  leaseNamespace: kubeName.describe('Namespace of the Lease by which one server signs.'),
  leaseName: kubeName.default('signet-pod-certificates').describe('Name of that Lease.'),
});

/** What the signer of one cluster is told. */
export type PodCertificateSettings = z.output<typeof podCertificatesSchema>;
