import { defineErrors } from './define.ts';

/** Refusals of the authority section. */
export const authorityErrors = defineErrors({
  AUTHORITY_NOT_READY: {
    status: 'Unavailable',
    retryable: true,
    means: 'There is no signing authority yet.',
    action: 'Wait for the server to become ready; if it does not, look for AUTHORITY in its log.',
  },
  AUTHORITY_EXPIRED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The signing authority has expired and none has taken its place.',
    action: 'Look in the log for why no new authority could be made, and check the clock.',
  },
  AUTHORITY_JOURNAL_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: 'The journal of the authorities cannot be read.',
    action: 'Restore the database from a backup; a newer program may have written it.',
  },
  AUTHORITY_CERTIFICATE_INVALID: {
    status: 'Internal',
    retryable: false,
    means: 'A new CA certificate does not read back as what was to be signed.',
    action: 'Check the key manager: it may have answered with another key.',
  },
  AUTHORITY_UNKNOWN: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'There is no authority of that kind with that ID.',
    action:
      'List them with `signet localauthority x509 show` (or `jwt show`) and give an ID as it stands there.',
  },
  AUTHORITY_WRONG_STATE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The authority is not in the state in which that step begins.',
    action:
      'Do first what the message names; the order is prepare, activate, taint, revoke, and show tells where each one is.',
  },
  AUTHORITY_NOT_PROPAGATED: {
    status: 'FailedPrecondition',
    retryable: true,
    means:
      'Agents, servers below this one or clusters do not have the bundle with the prepared authority yet.',
    action:
      'Try again in a moment; the message says who is waited for. Agents that stay silent for two minutes no longer are. `--force` activates it now, and workloads that were left behind refuse what it signs.',
  },
  AUTHORITY_NO_UPSTREAM: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The server has no upstream authority; it signs by roots of its own.',
    action:
      'Use `signet localauthority x509 taint` and `revoke` for the authorities of this server.',
  },
  AUTHORITY_NO_WIT: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The server has no authorities for WIT-SVIDs.',
    action: 'Ask for the X.509 or JWT authorities; this server issues no WIT-SVIDs.',
  },
});
