import { defineErrors } from './define.ts';

/** Refusals of requests by the server's gRPC services. */
export const apiErrors = defineErrors({
  FIELD_MISSING: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A field that the request needs is absent or empty.',
    action: 'Set the field that the message names.',
  },
  FIELD_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A field of the request has a value that is not allowed.',
    action: 'Correct the field that the message names.',
  },
  REVOCATION_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'Nothing that this server issued and that is still valid matches what is to be revoked.',
    action:
      'Look with "signet ledger search"; an SVID that another server issued is revoked on that server.',
  },
  REVOCATION_NEEDS_LEDGER: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'SVIDs are found for revocation in the issuance ledger, which is turned off.',
    action: 'Set ledger.enabled; to shut a whole node out now, ban its agent.',
  },
  BATCH_TOO_LARGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A batch has more items than one call may carry.',
    action: 'Split the batch; the message says how many items fit.',
  },
  ANSWER_TOO_LARGE: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'The whole answer does not fit into one message.',
    action: 'Ask for pages: set page_size.',
  },
  ENTRY_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no entry with that ID.',
    action: 'Look the ID up with `signet entry show`.',
  },
  ENTRY_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'An entry with that ID, or with the same parent, SPIFFE ID and selectors, exists.',
    action: 'Update the existing entry, which the answer holds, or change one of the three.',
  },
  ENTRY_CHANGED: {
    status: 'Aborted',
    retryable: true,
    means: 'Others kept changing the entry while it was being updated.',
    action: 'Read the entry again and repeat the update.',
  },
  AGENT_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no agent with that SPIFFE ID.',
    action: 'Look the ID up with `signet agent list`.',
  },
  BUNDLE_NOT_READY: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server has not published its first trust bundle yet.',
    action: 'Try again in a moment; if it goes on, read the log of the server.',
  },
  BUNDLE_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'The server holds no bundle of that trust domain.',
    action: 'Ask for a trust domain that the server federates with.',
  },
  JOIN_TOKEN_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'A join token with that value was made before.',
    action: 'Choose another value, or leave it out and let the server draw one.',
  },
  STREAM_IDLE: {
    status: 'DeadlineExceeded',
    retryable: true,
    means: 'The caller opened a stream and did not send the message that it has to begin with.',
    action: 'Look for a network that loses data, or an agent that hangs.',
  },
  SYNC_PROTOCOL: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A message of a synchronisation stream came out of order.',
    action: 'Update the agent; if it is current, report it with the log of both sides.',
  },
  SYNC_REPLACED: {
    status: 'Aborted',
    retryable: true,
    means: 'The agent opened another synchronisation stream, which replaces this one.',
    action: 'Nothing; if it goes on, look for a second agent with the same identity.',
  },
});
