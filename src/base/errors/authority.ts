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
});
