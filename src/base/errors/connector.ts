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
});
