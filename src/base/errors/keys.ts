import { defineErrors } from './define.ts';

/** Refusals of the keys section. */
export const keysErrors = defineErrors({
  KEY_SLOT_NAME: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The name of a key slot is not 1 to 64 letters, digits or dashes.',
    action: 'Report it: slots are named by the program.',
  },
  KEY_DIRECTORY: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The folder of the private keys cannot be made or read.',
    action: 'Check that the data directory exists and belongs to the user that runs the server.',
  },
  KEY_PERMISSIONS: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Other users may read a private key or the folder that holds it, or it is not ours.',
    action: 'Find out who could read it, then chmod 700 the folder and 600 the files.',
  },
  KEY_FILE_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: 'A private key file is truncated, changed or not of this program.',
    action:
      'Restore the file from a backup, or move it away: the server then makes a new authority.',
  },
  KEY_GENERATE_FAILED: {
    status: 'Internal',
    retryable: true,
    means: 'The key manager could not make a key.',
    action: 'Look at the cause in the log; it is tried again by itself.',
  },
  KEY_SIGN_FAILED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The key manager did not make a signature.',
    action: 'Look at the cause in the log and at the health of the key manager.',
  },
  KEY_SIGNATURE_WRONG: {
    status: 'Internal',
    retryable: false,
    means: 'The key manager answered with a signature that its public key does not verify.',
    action: 'Treat it as an incident: another key, or a broken device, stands behind the slot.',
  },
});
