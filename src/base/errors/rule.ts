import { defineErrors } from './define.ts';

/** Refusals of the rules that give Kubernetes pods their identities. */
export const ruleErrors = defineErrors({
  TEMPLATE_SYNTAX: {
    status: 'InvalidArgument',
    retryable: false,
    means: "A template of a rule is not written as Go's text/template reads it.",
    action: 'Correct the template at the line that the message names.',
  },
  TEMPLATE_FUNCTION: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A template calls a function that there is not.',
    action:
      'Use the functions that docs/kubernetes-rules.md lists: those of text/template, no others.',
  },
  TEMPLATE_UNSUPPORTED: {
    status: 'InvalidArgument',
    retryable: false,
    means: "A template uses a part of Go's text/template, or of its printing, that is not offered.",
    action: 'Write it otherwise; docs/kubernetes-rules.md says what is left out.',
  },
  TEMPLATE_VALUE: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'A template asks something of a value that it cannot give, such as a field of a nil pointer.',
    action:
      'Correct the template, or ask with {{if}} or {{with}} first whether the value is there.',
  },
  TEMPLATE_LIMIT: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'A template is longer than 16 KiB, nests too deep, runs too long or renders too much.',
    action: 'Make the template simpler.',
  },
  RULE_SPEC: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'A field of a Kubernetes rule is missing, of the wrong kind, or has a value that is none.',
    action: 'Correct the field that the message names; `kubectl explain` shows what it takes.',
  },
  RULE_PARENT: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The parent ID that the template of a cluster renders is not that of an agent or alias.',
    action: 'Correct parentIdTemplate of the cluster in server.yaml.',
  },
  RULE_PREFIX: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A WorkloadIdentity renders a SPIFFE ID outside of what its namespace is granted.',
    action:
      'Choose a path below the prefix, or have a cluster administrator write a WorkloadIdentityGrant.',
  },
  RULE_LIMIT: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'A rule gives what the rules of its cluster may not: an ID or a parent outside of its prefixes, admin, or downstream.',
    action:
      'Choose a path below rules.pathPrefixes of the cluster in server.yaml, leave admin and downstream out, or create the entry on the server.',
  },
  RULES_PENDING: {
    status: 'Unavailable',
    retryable: true,
    means: 'The rules and pods of a cluster have not been read whole since the server started.',
    action: 'Wait; if it lasts, see in the log why the Kubernetes API server cannot be read.',
  },
  RULE_CLUSTER: {
    status: 'NotFound',
    retryable: false,
    means: 'A cluster is asked about that the server does not know, or it is not said which one.',
    action: 'Name one of kubernetes.clusters of server.yaml.',
  },
  POD_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'A cluster has no such pod, or it has ended.',
    action: 'Look for it with "kubectl get pods", and name it as NAMESPACE/NAME.',
  },
});
