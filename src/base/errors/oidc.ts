import { defineErrors } from './define.ts';

/** Refusals of OIDC discovery. */
export const oidcErrors = defineErrors({
  OIDC_CERTIFICATE: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The certificate or key that OIDC discovery is to be served with cannot be used.',
    action:
      'Look at oidc.certificatePath and oidc.keyPath: PEM, leaf first, and the key of that leaf. A server that runs goes on with the ones before.',
  },
});
