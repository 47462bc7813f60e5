import { defineErrors } from './define.ts';

/** Refusals of what objects of Kubernetes ask for pods. */
export const podErrors = defineErrors({
  POD_RULES_PENDING: {
    status: 'Unavailable',
    retryable: true,
    means: 'The pods and rules of the cluster have not been read yet.',
    action:
      'Nothing, it is answered afterwards; if it lasts, see what the log says of the cluster.',
  },
  POD_UNKNOWN: {
    status: 'NotFound',
    retryable: true,
    means: 'The server sees no pod of this name and UID, or not where it is said to run.',
    action:
      'Nothing where the pod was just made or is gone. Else the request was not made by its kubelet: look who may create such objects.',
  },
  POD_MISMATCH: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A request says of a pod, its node or its service account what is not so.',
    action:
      'Look who made it: kubelets cannot make such ones. Take the verb "create" on that kind from all others.',
  },
  POD_NO_IDENTITY: {
    status: 'NotFound',
    retryable: true,
    means: 'No rule gives the pod an identity.',
    action:
      'See "signet rule explain pod/<namespace>/<name>", correct the rule, make the pod anew.',
  },
  POD_CHOICE: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'A pod has several identities, or not the one that was asked for.',
    action:
      'Name one of them, as docs/kubernetes-objects.md says, or have one rule fit the pod: "signet rule explain".',
  },
  POD_DNS_NAMES: {
    status: 'PermissionDenied',
    retryable: true,
    means: 'A DNS name was asked for that the pod does not have.',
    action:
      'Ask for names of the entry only, or have the rule give them (dnsNameTemplates); of the signer service-dns, for names of services that select the pod.',
  },
  POD_NO_SERVICE: {
    status: 'NotFound',
    retryable: true,
    means: 'A certificate for the services of a pod was asked for, and no service selects it.',
    action:
      'Make the service before the pod, with a selector that fits its labels; then make the pod anew.',
  },
  POD_NODE_NOT_ATTESTED: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The agent of the node that the pod runs on is not attested.',
    action:
      'Run the agent on that node. Unless zones demand otherwise, requireAttestedNode: false of the cluster does without.',
  },
  POD_CERTIFICATE_REQUEST: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A PodCertificateRequest lacks something, or does not prove its key.',
    action: 'Look who made it; kubelets from 1.35 on make whole ones.',
  },
  POD_CERTIFICATE_ANNOTATION: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A podCertificate volume has a key in userAnnotations that the signer does not know.',
    action: 'Leave it out; docs/kubernetes-objects.md lists those that there are.',
  },
  POD_CERTIFICATE_LIFE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Pod certificates live an hour at least, and policy gives this one less.',
    action: 'Raise svid.x509Ttl, or "ttl" of the rule, to 1h or more; then make the pod anew.',
  },
  POD_CERTIFICATE_CLOCK: {
    status: 'Unavailable',
    retryable: true,
    means:
      'A certificate would not have the dates that the API server takes: our clock is off by minutes from its, or the authority ends within the hour.',
    action: 'Set both clocks; give ca.ttl or ca.issuing.ttl several hours. It is tried again.',
  },
});
