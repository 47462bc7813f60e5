import { defineErrors } from './define.ts';

/** Refusals of the node attestor `k8s_psat`, both halves. */
export const k8sPsatErrors = defineErrors({
  K8S_PSAT_CLUSTER: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An agent attests for a cluster that the server does not know.',
    action: 'Give the agent the name that stands in attestation.k8sPsat.clusters, or add it there.',
  },
  K8S_PSAT_SERVICE_ACCOUNT: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The token is not that of a service account whose pods are agents.',
    action:
      'Add the service account to serviceAccounts of the cluster if its pods are agents; else look who has tried it.',
  },
  K8S_PSAT_UNBOUND: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The token is not bound to a pod, or does not say on which node that is.',
    action:
      'Mount a projected token (serviceAccountToken) instead of making one by hand; the cluster has to be 1.30 or later.',
  },
  K8S_PSAT_POD: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The pod that the token was given to is gone, has ended, or is not as the token says.',
    action:
      'Nothing where the pod was deleted; else look who uses the token of a pod that is no more.',
  },
  K8S_PSAT_NODE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The node that the token names is gone, is being deleted, or was made anew since.',
    action: 'Restart the pod of the agent, so that it gets a token for the node as it is now.',
  },
  K8S_PSAT_API: {
    status: 'Unavailable',
    retryable: true,
    means: 'The cluster of an agent could not be asked about it, so nothing was decided.',
    action:
      'Check that the API server is there and lets this server create tokenreviews and get pods and nodes.',
  },
  AGENT_K8S_PSAT_TOKEN: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The projected token that the agent attests with cannot be read.',
    action: 'Mount it where attestation.k8sPsat.tokenPath says; a token of over 16 KB is none.',
  },
});
