import { defineErrors } from './define.ts';

/** Refusals of the certificate service for Istio's meshes. */
export const istioErrors = defineErrors({
  ISTIO_TOKEN: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'A mesh client shows no service account token, or one that its cluster does not accept.',
    action:
      'Compare the audience of its istio-token volume (istio-ca) with istio.audiences of the cluster, and look whether its pod still stands.',
  },
  ISTIO_TOKEN_UNBOUND: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The token of a mesh client is not bound to a pod, or does not say on which node that is.',
    action:
      'Have the client use a projected token (serviceAccountToken) of its pod; the cluster has to be 1.30 or later.',
  },
  ISTIO_CLUSTER: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A mesh client is of a cluster that is not served, or does not say of which.',
    action:
      'Add the name that it sends (ClusterID; global.multiCluster.clusterName of Istio) to istio.clusterIds of its cluster.',
  },
  ISTIO_API: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The cluster of a mesh client could not be asked about its token, so nothing was decided.',
    action: 'Check that the API server is there and lets this server create tokenreviews.',
  },
  ISTIO_BUSY: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'Too many tokens of mesh clients wait for the API server to be judged.',
    action: 'Nothing: clients try again. If it lasts, see how long the API server takes to answer.',
  },
  ISTIO_CSR: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The certificate request of a mesh client asks for what it cannot have.',
    action:
      'It has to have one URI, the identity of the workload, and neither DNS names, addresses, e-mails nor a common name: look what client it is.',
  },
  ISTIO_IDENTITY: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A mesh client asks for another identity than rules give its pod.',
    action:
      'Have the rule that the message names give spiffe://<trust domain>/ns/<namespace>/sa/<service account>, and Istio use our trust domain (meshConfig.trustDomain).',
  },
  ISTIO_IMPERSONATION: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A mesh client asks in the name of workloads that it may not ask for.',
    action:
      "Add the service account of the node's proxy (ztunnel) to istio.trustedNodeAccounts if it is one; else look who has tried it.",
  },
});
