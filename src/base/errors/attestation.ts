import { defineErrors } from './define.ts';

/** Refusals of node attestation on the server. */
export const attestationErrors = defineErrors({
  ATTESTATION_TYPE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The server does not offer the attestation method that the agent uses.',
    action: 'Configure the agent for a method that the server offers: join_token.',
  },
  ATTESTATION_PROTOCOL: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A message of the attestation stream came out of order.',
    action: 'Update the agent; if it is current, report it with the log of both sides.',
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
