import { defineErrors } from './define.ts';

/** Refusals of the issuance ledger. */
export const ledgerErrors = defineErrors({
  LEDGER_PROOF_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A Merkle proof does not lead to the root that it is meant for.',
    action: 'Do not trust what it was to prove; keep proof and checkpoint and look into it.',
  },
  LEDGER_NOTE_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A checkpoint or a verifier key is not in the form of the C2SP specifications.',
    action:
      'Fetch the checkpoint again from its source; compare the key with "signet ledger status".',
  },
  LEDGER_NOTE_UNTRUSTED: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'A checkpoint is not signed by the key that is trusted for it, or its signature is wrong.',
    action:
      'Compare the key with "signet ledger status" on the server; do not trust the checkpoint.',
  },
  LEDGER_RECORD_INVALID: {
    status: 'DataLoss',
    retryable: false,
    means: 'A record of the ledger is not in its canonical form.',
    action: 'Run "signet ledger verify"; restore the ledger directory from its newest copy.',
  },
  LEDGER_RECORD_TOO_LARGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A record would be larger than the 65,535 bytes that a tile entry may have.',
    action: 'Shorten the SPIFFE ID or the names of the entry.',
  },
  LEDGER_INDEX_RANGE: {
    status: 'OutOfRange',
    retryable: false,
    means: 'The ledger has no record of that index, or no tree of that size.',
    action: 'Ask for one within the size that "signet ledger status" shows.',
  },
  LEDGER_RECORD_UNKNOWN: {
    status: 'NotFound',
    retryable: true,
    means: 'No record that a checkpoint covers is the one that was asked for.',
    action:
      'Compare the values with "signet ledger search"; what was signed just now is covered within a second.',
  },
  LEDGER_BODY_GONE: {
    status: 'NotFound',
    retryable: false,
    means: 'The body of a record was dropped after its retention; its hash is still in the tree.',
    action: 'Look for the record in what "signet ledger export" or an audit sink kept.',
  },
  LEDGER_ABSENT: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no ledger in the directory.',
    action: 'Name the data directory of the server with --data-dir.',
  },
  LEDGER_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: 'The log of the ledger is damaged; nothing is signed on it.',
    action:
      'Check the disk and restore dataDir/ledger from its newest copy, or set it and dataDir/ledger-head aside together to begin a new ledger.',
  },
  LEDGER_ROLLED_BACK: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The log of the ledger is older than the last checkpoint that this server signed.',
    action:
      'Put the newer copy of dataDir/ledger back. Where it is lost, set it and dataDir/ledger-head aside together: a new ledger begins, and witnesses of the old one will see that it ended.',
  },
  LEDGER_FORKED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The log of the ledger is not the one whose checkpoint this server signed last.',
    action:
      'Put back the copy of dataDir/ledger that belongs to dataDir/ledger-head; keep both for whoever looks into it.',
  },
  LEDGER_HEAD_MISSING: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'There is a ledger, but not the checkpoint that is kept beside it, or not its key.',
    action:
      'Put dataDir/ledger-head and dataDir/ledger-key back, or set dataDir/ledger aside with them to begin a new ledger.',
  },
  LEDGER_FULL: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'The disk of the ledger is full; nothing was recorded, so nothing was signed.',
    action: 'Free space on the file system of dataDir; issuance goes on by itself.',
  },
  LEDGER_IO: {
    status: 'Unavailable',
    retryable: false,
    means: 'Writing or reading the ledger failed; after a failed write nothing is signed.',
    action: 'Check the disk and the kernel log, then start the server again.',
  },
  LEDGER_OVERLOADED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'Too many records wait for the disk.',
    action: 'Check the latency of the disk of dataDir; agents try again by themselves.',
  },
  LEDGER_WITNESS_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'A witness does not answer; checkpoints go without its cosignature meanwhile.',
    action: 'Check that the server reaches the address in ledger.witnesses.',
  },
  LEDGER_WITNESS_REFUSED: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'A witness does not cosign the checkpoints of this ledger.',
    action:
      'Give the witness the key that "signet ledger status" shows; a new ledger has a new origin, which it has to learn.',
  },
  LEDGER_COPY_LATE: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The copy of the ledger in the database is behind for longer than ledger.copy.maxLag; nothing is signed until it follows.',
    action:
      'Look for "copying the ledger" in the log and mend the database; issuance goes on by itself. Raising ledger.copy.maxLag takes a restart.',
  },
  LEDGER_CLOSED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server is stopping.',
    action: 'Try again when it has started.',
  },
});
