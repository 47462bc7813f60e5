import { defineErrors } from './define.ts';

/** Refusals about relationships with other trust domains and their bundles. */
export const federationErrors = defineErrors({
  FEDERATION_URL: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The URL of a bundle endpoint is not https with a host, or has user information.',
    action: 'Write the URL as https://host:port/path, as the operator of the endpoint gives it.',
  },
  FEDERATION_PROFILE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The profile of a bundle endpoint is missing or lacks the SPIFFE ID of the endpoint.',
    action: 'State https_web, or https_spiffe with the SPIFFE ID of the endpoint.',
  },
  FEDERATION_OWN_DOMAIN: {
    status: 'InvalidArgument',
    retryable: false,
    means: "What concerns other trust domains was asked for the server's own.",
    action: 'Name another trust domain; "signet bundle show" prints the bundle of this one.',
  },
  FEDERATION_BUNDLE_DOMAIN: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The bundle that comes with a relationship is of another trust domain than it.',
    action: 'Give that bundle by itself: signet bundle set.',
  },
  FEDERATION_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'There is a relationship with that trust domain already.',
    action: 'Change it: signet federation update.',
  },
  FEDERATION_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no relationship with that trust domain.',
    action: 'Look at "signet federation list", or make one with "signet federation create".',
  },
  FEDERATION_CLAIMED: {
    status: 'AlreadyExists',
    retryable: true,
    means:
      'A ClusterFederatedTrustDomain names a trust domain with which somebody else federates: an operator, an older object, or one of another cluster.',
    action:
      'Leave one of them: delete the object, the other object that the message names, or the relationship ("signet federation delete").',
  },
  FEDERATION_CHANGED: {
    status: 'Aborted',
    retryable: true,
    means: 'Something else changed the relationship or the bundle meanwhile, again and again.',
    action: 'Try again.',
  },
  FEDERATED_BUNDLE_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A bundle holds a certificate or a key that cannot be read, or two keys with one ID.',
    action: 'Get the bundle from its trust domain again; "signet bundle show" prints one.',
  },
  FEDERATED_BUNDLE_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'There is a bundle of that trust domain already.',
    action: 'Replace it: signet bundle set.',
  },
  FEDERATED_BUNDLE_IN_USE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Entries federate with the trust domain whose bundle is to be deleted.',
    action:
      'Change the entries first, or give --mode dissociate (they federate no more) or --mode delete (they go).',
  },
  ENTRY_FEDERATES_UNKNOWN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'An entry federates with a trust domain of which the server holds no bundle.',
    action: 'Bring the bundle first: signet bundle set, or signet federation create.',
  },
  FEDERATION_ENDPOINT_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'A bundle endpoint gave no whole answer in time.',
    action: 'Check the URL of the relationship, and the network between here and the endpoint.',
  },
  FEDERATION_ENDPOINT_UNTRUSTED: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'A bundle endpoint is not who the relationship says: by SPIFFE ID, or by public CA and host.',
    action:
      'Compare profile and endpoint SPIFFE ID with its operator; where its authorities were replaced, bring the new bundle: signet bundle set.',
  },
  FEDERATION_ENDPOINT_ANSWER: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'What a bundle endpoint answers is no bundle of its trust domain: the kept one stays.',
    action: 'Ask its operator; redirects are not followed, so give the URL that serves the bundle.',
  },
  FEDERATION_ENDPOINT_BUNDLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'There is no bundle to know a bundle endpoint of profile https_spiffe by.',
    action: 'Bring the bundle of the trust domain of its SPIFFE ID: signet bundle set.',
  },
  FEDERATION_SEQUENCE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A bundle endpoint serves an older bundle than is kept: the kept one stays.',
    action:
      'Ask its operator; if its trust domain did begin anew, bring the new bundle: signet bundle set.',
  },
});
