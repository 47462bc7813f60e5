import { defineErrors } from './define.ts';

/** Refusals of backups and of what a server's state is restored from. */
export const backupErrors = defineErrors({
  STATE_ABSENT: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no state of a server in the data directory.',
    action: 'Name the directory with --data-dir, or the configuration that does with --config.',
  },
  BACKUP_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'The file to be written exists; an older backup is never written over.',
    action: 'Choose another name, with the date in it for example, or remove the file first.',
  },
  BACKUP_INVALID: {
    status: 'DataLoss',
    retryable: false,
    means: 'The file is not a whole backup: cut off, altered, or something else.',
    action: 'Use another copy; "signet backup verify" tells a good one.',
  },
  BACKUP_NEWER: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The backup was made by a newer version of the program.',
    action: 'Restore it with that version or a later one; the message names what is newer.',
  },
  BACKUP_FOREIGN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The backup is of another trust domain.',
    action: 'Check the file and trustDomain in the configuration; identities cannot be moved over.',
  },
  BACKUP_TARGET_NOT_EMPTY: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'There is something in the data directory that a restore would have to write over.',
    action:
      'Set the directory aside and keep it: its ledger may be newer than the backup. Then restore into a new one.',
  },
  BACKUP_NOT_ACKNOWLEDGED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A restore takes the server back to an earlier time and begins a new ledger.',
    action:
      'Read what the message says is lost and docs/recovery.md, then run it again with --acknowledge.',
  },
  BACKUP_PASSPHRASE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The keys in the backup cannot be opened with this passphrase, or it is no good one.',
    action:
      'Give the file with the passphrase that the backup was made with, 16 characters or more.',
  },
  STORE_ROLLED_BACK: {
    status: 'DataLoss',
    retryable: false,
    means: 'The database is an older copy, or another one, than the server last wrote.',
    action:
      'Put the newer server.sqlite back. Where only an older one is left, restore a backup with `signet backup restore --acknowledge` as docs/recovery.md says: it makes numbers and the ledger go on safely.',
  },
  STORE_MISSING: {
    status: 'DataLoss',
    retryable: false,
    means: 'The data directory has a ledger, and its database is gone.',
    action:
      'Put the database back, or restore a backup as docs/recovery.md says. To begin with nothing, set ledger, ledger-head, ledger-key and server.sqlite-mark aside as well.',
  },
  RESTORE_UNFINISHED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A restore into the data directory was interrupted; what is there is not whole.',
    action: 'Run "signet backup restore" again; it clears what the last one left.',
  },
});
