import { defineErrors } from './define.ts';

/** Refusals of node attestation on the server. */
export const attestationErrors = defineErrors({
  ATTESTATION_TYPE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The server does not offer the attestation method that the agent uses.',
    action:
      'Configure the agent for a method that the message names, or add its method to attestation in server.yaml.',
  },
  ATTESTATION_PROTOCOL: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A message of the attestation stream came out of order.',
    action: 'Update the agent; if it is current, report it with the log of both sides.',
  },
  ATTESTATION_TOO_LARGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'What an agent shows in its attestation is larger than its method allows.',
    action: 'Look for what is not part of the evidence, such as a certificate chain too many.',
  },
  ATTESTATION_ROUNDS: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An attestation needs more rounds than its method allows.',
    action: 'Update the agent; if it is current, report it with the log of both sides.',
  },
  ATTESTATION_DEADLINE: {
    status: 'DeadlineExceeded',
    retryable: true,
    means: 'An attestation took too long.',
    action: "See what the agent waits for: its log names the method's step.",
  },
  ATTESTATION_PAYLOAD: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'What an agent or a server shows in an attestation does not have the form of its method.',
    action: 'Update the agent; if it is current, report it with the log of both sides.',
  },
  ATTESTATION_ID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The evidence of a node yields no agent ID by the template, or the template is none.',
    action: 'Correct agentPathTemplate, or the names in the certificate.',
  },
  ATTESTATION_SETTINGS: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A file that a node attestor is configured with cannot be used.',
    action: 'Correct the setting that the message names, or the file.',
  },
  X509POP_LEAF: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The certificate that an agent attests with is of no use for that.',
    action: 'Give the agent a certificate with key usage digitalSignature that is no CA.',
  },
  X509POP_KEY: {
    status: 'PermissionDenied',
    retryable: false,
    means: "The certificate's key is of a kind that cannot prove itself.",
    action:
      'Give the agent a certificate for an RSA key of at most 8192 bits, or a key on a NIST curve.',
  },
  X509POP_PROOF: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The agent does not hold the key of the certificate that it shows.',
    action:
      'Check that certificatePath and privateKeyPath of the agent belong together; else look for theft.',
  },
  JOIN_TOKEN_UNKNOWN: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The join token was never made, or was used before.',
    action: 'Generate a new join token and give it to the agent; each works once.',
  },
  JOIN_TOKEN_EXPIRED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The join token was not used in time.',
    action: 'Generate a new join token, with a longer --ttl if the agent starts late.',
  },
});
