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
  KEY_MANAGER_SETTINGS: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'A setting of the key manager cannot be used: a file, a variable or a region is missing.',
    action: 'Correct what the message names in the keys section of server.yaml; see docs/keys.md.',
  },
  KEY_MANAGER_MODULE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The PKCS#11 library, or the package that calls it, cannot be loaded.',
    action:
      'Check keys.pkcs11.module; run `npm rebuild pkcs11js --ignore-scripts=false` once (docs/keys.md).',
  },
  KEY_MANAGER_CREDENTIALS: {
    status: 'Unauthenticated',
    retryable: false,
    means:
      'The key manager does not accept who we are: credentials, token or PIN are missing or wrong.',
    action: 'Check the role, token or PIN of the server; an expired one has to be renewed first.',
  },
  KEY_MANAGER_THROTTLED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'The key manager refuses calls because a quota is used up.',
    action:
      'Raise the quota, or set keys.calls.perSecond below it; delegated signing needs few calls.',
  },
  KEY_MANAGER_BUSY: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'Calls wait for the key manager for longer than they may (keys.calls.deadline).',
    action: 'Raise keys.calls.perSecond and inFlight where the quota allows it, or issue less.',
  },
  KEY_MANAGER_TIMEOUT: {
    status: 'Unavailable',
    retryable: true,
    means: 'The key manager did not answer in time.',
    action: 'Look at its health and the way to it; keys.calls.timeout is what an answer may take.',
  },
  KEY_MANAGER_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'No connection to the key manager, or it broke off.',
    action: 'Check its address, name resolution, routes, certificates and that it runs.',
  },
  KEY_MANAGER_FAULT: {
    status: 'Unavailable',
    retryable: true,
    means: 'The key manager answered with a fault of its own.',
    action: 'Look at the health page or log of the key manager; it is tried again by itself.',
  },
  KEY_MANAGER_DEPENDENCY: {
    status: 'Unavailable',
    retryable: true,
    means: 'Something that the key manager depends on did not answer it in time.',
    action: 'Look at the health of the KMS in this region and of a custom key store behind it.',
  },
  KEY_MANAGER_REFUSED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The key manager refused a request for a reason that has no code of its own here.',
    action:
      'Read the cause in the log; settings that contradict the key manager are the likely one.',
  },
  KEY_MANAGER_LIMIT: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'The key manager holds as many keys or aliases as it may.',
    action: 'Remove keys that nothing uses, or raise the limit; see keys.sweepAfter.',
  },
  KEY_PERMISSION: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The key manager knows the server, but does not let it do this.',
    action: 'Compare the policy of the role, token or key with the one in docs/keys.md.',
  },
  KEY_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The key manager says that the key cannot be used at the moment.',
    action: 'Wait; if it lasts, look at the key and at a custom key store behind it.',
  },
  KEY_DISABLED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A key that a slot needs is disabled in the key manager.',
    action: 'Find out who disabled it and why; enable it, or remove it so that a new one is made.',
  },
  KEY_DELETED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A key that a slot needs is deleted, or waits for its deletion.',
    action:
      'Cancel the deletion while that is possible; else see docs/keys.md, a key that is lost.',
  },
  KEY_ALIAS_MOVED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The name of a slot is gone, or stands for a key that was not made for that slot.',
    action:
      'Treat it as an incident: find out who moved it, and point it at the key named in the log.',
  },
  KEY_SIGNING_UNSUPPORTED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The key manager cannot sign with this key and this hash, or cannot make such a key.',
    action: 'Choose another ca.keyType or jwt.keyType.',
  },
  KEY_SEAL_BROKEN: {
    status: 'DataLoss',
    retryable: false,
    means: 'A sealed key is not what was sealed for its slot, or not for this trust domain.',
    action:
      'Treat it as an incident: somebody wrote to the database. Restore it, or see docs/keys.md.',
  },
});
