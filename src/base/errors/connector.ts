import { defineErrors } from './define.ts';

/** Refusals of connectors, their groups and their segments, and of callers that would be one. */
export const connectorErrors = defineErrors({
  CONNECTOR_GROUP_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A field of a connector group is not what it may be.',
    action: 'Correct the field that the message names.',
  },
  CONNECTOR_SEGMENT_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A field of a connector segment is not what it may be.',
    action: 'Correct the field that the message names.',
  },
  CONNECTOR_SEGMENT_CONFLICT: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'Another segment of the same group claims the same host and ports with the same priority.',
    action: 'Give one of the two another priority, or narrow its hosts or ports.',
  },
  CONNECTORS_OFF: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'This server does not serve connectors.',
    action: 'Add a section connectors to server.yaml (docs/connectors.md) and restart the server.',
  },
  CONNECTOR_UNKNOWN: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The SVID is that of no connector, or of one that was forgotten.',
    action: 'Have the connector enrol; one that has ended is forgotten after a while.',
  },
  CONNECTOR_EXPIRED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The SVID of the connector has expired.',
    action: 'Have it enrol again; see its log for why it was not renewed in time.',
  },
  CONNECTOR_NOT_ACTIVE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The connector shows an SVID that a newer one has replaced.',
    action: 'Have it enrol again; find out whether its key is in use in a second place.',
  },
  CONNECTOR_STOPPED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The connector has said that it leaves, and needs to enrol to come back.',
    action: 'Nothing where it was ended; one that runs enrols again by itself.',
  },
  CONNECTOR_REVOKED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The connector was revoked.',
    action:
      'Find out why (`signet connector show`); to let it in again, delete it and enrol it anew.',
  },
  CONNECTOR_NODE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The node of the connector is banned or in quarantine.',
    action: 'See `signet agent show` and `signet dpu show` of the node that the message names.',
  },
  CONNECTOR_SESSION_PROTOCOL: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A connector did not keep to the protocol of its session, which was ended.',
    action: 'Correct or update the connector; the message says what it sent.',
  },
  CONNECTOR_SESSION_REPLACED: {
    status: 'Aborted',
    retryable: false,
    means: 'The connector opened another session, which ended this one.',
    action: 'Nothing after a renewal or a lost connection; else look for a copy of its key.',
  },
  CONNECTOR_SESSION_SILENT: {
    status: 'Unavailable',
    retryable: true,
    means: 'Nothing was heard of the connector for three heartbeats.',
    action: 'See whether the connector runs and its network lets the stream through.',
  },
  CONNECTOR_SESSION_PACED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'More connectors opened sessions at once than the server takes in.',
    action:
      'Nothing: connectors come back by themselves; raise connectors.sessionsPerSecond if it lasts.',
  },
  CONNECTOR_MESSAGE_UNKNOWN: {
    status: 'Unimplemented',
    retryable: false,
    means: 'A connector sent a message of a kind that this server does not know; it went on.',
    action: 'Update the server where the connector is newer than it.',
  },
  CONNECTOR_RENEWAL_BUSY: {
    status: 'Aborted',
    retryable: true,
    means: 'A connector asked for a renewal while another one was under way or had just been.',
    action: 'Nothing: it asks again later; update the connector if it lasts.',
  },
});
