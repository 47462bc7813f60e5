import { defineErrors } from './define.ts';

/** Refusals of the durable store. */
export const storeErrors = defineErrors({
  STORE_LOCKED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Another process has the database open.',
    action: 'Stop the other server, or give this one a dataDir of its own.',
  },
  STORE_SCHEMA_NEWER: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The database was written by a newer version of the program.',
    action: 'Start the newer version again, or restore a backup from before the upgrade.',
  },
  STORE_FOREIGN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The file is not a database of this program, or one of another trust domain.',
    action: 'Check dataDir and trustDomain in the configuration.',
  },
  STORE_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: 'The database, or a row of it, is damaged; nothing is served from it.',
    action: 'Check the disk, then restore the database from a backup.',
  },
  STORE_FULL: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'The disk of the database is full; nothing was written.',
    action: 'Free space on the file system of dataDir; the ledger needs it to issue anything.',
  },
  STORE_READ_ONLY: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The database cannot be written to.',
    action: 'Give the user of the server write access to dataDir and its file system.',
  },
  STORE_UNUSABLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The database file cannot be opened or made.',
    action: 'Check the path and its permissions; the message names what failed.',
  },
  STORE_IO: {
    status: 'Unavailable',
    retryable: true,
    means: 'Reading or writing the database failed; nothing was written.',
    action: 'Check the disk and the kernel log, then start the server again.',
  },
  STORE_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The store is closed, or its thread ended and is being started again; a write under way may have been made or not.',
    action:
      'Look whether the write was made, else repeat it; if this lasts, the log says why the thread of the database ends.',
  },
  STORE_OVERLOADED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'Too many requests wait for the database.',
    action: 'Send fewer or larger batches; check the latency of the disk.',
  },
  STORE_CONFLICT: {
    status: 'Aborted',
    retryable: true,
    means: 'Another write came first; nothing was written.',
    action: 'Nothing: the writer reads again and repeats.',
  },
  STORE_FEED_GAP: {
    status: 'OutOfRange',
    retryable: true,
    means: 'The changes asked for are no longer kept.',
    action: 'Nothing: the follower reads the whole state again.',
  },
  BAN_NOT_KEPT: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The agent is banned on this server, but neither the database nor the data directory could keep that: it ends with the process.',
    action:
      'Do not stop the server; free space in dataDir or bring its disk back, then ban the agent again.',
  },
  LOCAL_BANS_DAMAGED: {
    status: 'DataLoss',
    retryable: false,
    means:
      'The file of bans, or of quarantines, that the database does not have yet is damaged; nobody is let in.',
    action:
      'Find out from the audit what was banned or quarantined, remove dataDir/local-bans or local-holds, as the message says, start the server and do it again.',
  },
  STORE_FAILED: {
    status: 'Internal',
    retryable: false,
    means: 'The database refused a statement of the program.',
    action: 'Report it with the log lines around it.',
  },
});
