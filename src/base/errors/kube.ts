import { defineErrors } from './define.ts';

/** Refusals of the Kubernetes section. */
export const kubeErrors = defineErrors({
  KUBE_CONFIG: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The kubeconfig, or what a pod is given in its place, cannot be used.',
    action:
      'Correct the file that the message names; without one this process has to run in a pod with a service account.',
  },
  KUBE_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The Kubernetes API server cannot be reached, or has a fault of its own.',
    action: 'Check its address, certificate and health; it is tried again by itself.',
  },
  KUBE_CREDENTIALS: {
    status: 'Unauthenticated',
    retryable: true,
    means: 'The Kubernetes API server does not accept who this process is.',
    action: 'Renew the credentials of the kubeconfig, or check the service account of the pod.',
  },
  KUBE_FORBIDDEN: {
    status: 'PermissionDenied',
    retryable: true,
    means: 'The Kubernetes API server knows this process, but does not let it do this.',
    action:
      'Bind a role that allows what the message names; "What it may do" in docs/kubernetes-install.md lists what each setting needs.',
  },
  KUBE_NOT_FOUND: {
    status: 'NotFound',
    retryable: true,
    means: 'There is no such object in Kubernetes, or no such kind of object.',
    action: 'Check the name and the namespace, and that the custom resources are installed.',
  },
  KUBE_CONFLICT: {
    status: 'Aborted',
    retryable: true,
    means: 'The object in Kubernetes exists already, or has changed meanwhile.',
    action: 'Nothing: it is read and tried again.',
  },
  KUBE_REFUSED: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The Kubernetes API server refused a request for a reason of its own.',
    action:
      'Correct what the message names: a field, a right, or what an admission policy asks for.',
  },
  KUBE_GONE: {
    status: 'OutOfRange',
    retryable: true,
    means:
      'The Kubernetes API server no longer knows the version that a list or a watch goes on from.',
    action: 'Nothing: the list is read anew.',
  },
  KUBE_ANSWER: {
    status: 'Unavailable',
    retryable: true,
    means: 'What came from the Kubernetes API server is no answer of one, or is too large.',
    action:
      'See what stands between, such as a proxy that answers with a page of its own; an object over 8 MiB has to shrink.',
  },
  KUBE_NAME: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A name can be none in Kubernetes.',
    action: 'Correct the name that the message quotes.',
  },
  KUBE_BUNDLE_EMPTY: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The bundle holds nothing of the kind that a cluster is to be given.',
    action:
      'Look at the authorities (signet bundle show); what was published before stays until there is something to publish.',
  },
  KUBE_TOKEN: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The Kubernetes API server does not accept a token that was shown, or it is for another audience.',
    action:
      'Compare the audience of the projected volume with that of the server, and look whether the token has expired or its pod is gone.',
  },
});
