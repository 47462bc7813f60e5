import { defineErrors } from './define.ts';

/** Refusals of audit sinks. None of them stops issuance. */
export const auditErrors = defineErrors({
  AUDIT_CURSOR_INVALID: {
    status: 'DataLoss',
    retryable: false,
    means: 'The file that says how far an audit sink has come is damaged.',
    action:
      'Remove the file named in the message: the sink gets every record again, with the index that tells them apart.',
  },
  AUDIT_CURSOR_AHEAD: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'An audit sink has had more records than the ledger holds: the ledger is an older copy.',
    action:
      'Put the newer copy of dataDir/ledger and dataDir/ledger-head back; what the sink holds tells which records are missing.',
  },
  AUDIT_SETTINGS: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'An audit sink cannot be opened as it is configured.',
    action: 'Correct the setting that the message names.',
  },
  AUDIT_SINK_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'An audit sink does not answer or cannot take records now; none is lost meanwhile.',
    action: 'Look after the other side; records follow by themselves once it answers.',
  },
  AUDIT_SINK_THROTTLED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'An audit sink asks for a slower pace; none is lost meanwhile.',
    action: 'Raise the limits of the other side where the lag keeps growing.',
  },
  AUDIT_SINK_REFUSED: {
    status: 'FailedPrecondition',
    retryable: true,
    means:
      'An audit sink refuses the records; the same ones are offered again until it takes them.',
    action:
      'Read what the other side says in the log: credentials, topic, size, or age of entries, which Loki limits by reject_old_samples_max_age.',
  },
  AUDIT_SINK_LATE: {
    status: 'Unavailable',
    retryable: true,
    means: 'An audit sink is further behind than its bound; issuance goes on, none is lost.',
    action: 'Look after the sink before ledger.retention drops what it has not had.',
  },
  AUDIT_RECORDS_DROPPED: {
    status: 'DataLoss',
    retryable: false,
    means:
      'Bodies of records were dropped before an audit sink had them; it got a line that says which.',
    action: 'Take them from another sink or an export; raise holdFor of the sink.',
  },
});
