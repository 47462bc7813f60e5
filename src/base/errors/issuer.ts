import { defineErrors } from './define.ts';

/** Refusals of requests that name a SignetIssuer or SignetClusterIssuer. */
export const issuerErrors = defineErrors({
  ISSUER_UNKNOWN: {
    status: 'NotFound',
    retryable: true,
    means: 'A request names a SignetIssuer or SignetClusterIssuer that this server does not see.',
    action:
      'Make it, a SignetIssuer in the namespace of the request, with the className of this server; the request waits for it.',
  },
  ISSUER_NOT_READY: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The issuer that a request names is not ready.',
    action: 'See its Ready condition with "kubectl describe"; the request waits for it.',
  },
  ISSUER_REQUEST: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A request holds no certificate request (PKCS#10 in PEM) that can be read.',
    action: 'Have whoever makes it send one CSR of at most 16 KiB, in one PEM block.',
  },
  ISSUER_NAMES: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A certificate request does not ask for exactly one SPIFFE ID of the trust domain.',
    action:
      'Set "uris" of the Certificate to that one ID, and leave out e-mail and IP addresses and the like.',
  },
  ISSUER_CA: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A request asks for a certificate that signs others.',
    action:
      'Leave out isCA and "cert sign". Where a CA is needed, run a server below this one (docs/upstream.md).',
  },
  ISSUER_USAGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A request asks for a key usage that X.509-SVIDs do not have.',
    action:
      'Ask for digital signature, key encipherment, key agreement, server auth and client auth only.',
  },
  ISSUER_LIFE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A request asks for a lifetime that is none, or is shorter than ten minutes.',
    action:
      'Set "duration" to 10m or more, or leave it out; longer than policy gives is shortened.',
  },
  ISSUER_REQUESTER: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'Nothing can be given to who made a request, as the request names him.',
    action:
      'Requests of pods need podRequests of the cluster, and a pod of the namespace; others need a namespace (docs/cert-manager.md).',
  },
  ISSUER_NOT_ALLOWED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The issuer does not give this SPIFFE ID, or a DNS name, to requests that no pod makes.',
    action:
      'Correct the Certificate, or "certificates" of the issuer; for a SignetIssuer also see the WorkloadIdentityGrants of its namespace.',
  },
});
