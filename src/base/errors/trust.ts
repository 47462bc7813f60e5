import { defineErrors } from './define.ts';

/** Refusals of the kubectl plugin. */
export const trustErrors = defineErrors({
  TRUST_FINDINGS: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'What was looked at was read, and is not as it should be.',
    action:
      'Look at the lines that are not InSync, valid or Ok; "kubectl signet diff" tells in which authorities two copies differ.',
  },
  TRUST_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'No bundle was found where the command looked.',
    action: 'Look in all namespaces with -A, in another one with -n, or name a source.',
  },
  TRUST_UNREADABLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Something that should hold a bundle or certificates holds something else.',
    action:
      'Look at the key that the message names; a bundle is PEM of certificates only, or a JWK Set.',
  },
  TRUST_AMBIGUOUS: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'What is asked for is there more than once, and the command takes one.',
    action: 'Say which one: --trust-domain, --context, or the key after a colon.',
  },
  TRUST_POD: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'What a pod holds could not be read from inside it.',
    action:
      'Read what kubectl said; the container needs "cat" for a file and "signet" for a socket, or name file and container (--file, --container).',
  },
});
