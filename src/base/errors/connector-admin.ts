import { defineErrors } from './define.ts';

/** Refusals of what operators do to connectors, their groups, segments and keys. */
export const connectorAdminErrors = defineErrors({
  CONNECTOR_GROUP_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'There is a connector group of that name already.',
    action: 'Change it: signet connector group update.',
  },
  CONNECTOR_GROUP_IN_USE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A connector group was to be deleted while connectors are in it.',
    action:
      'Drain or revoke them first: signet connector drain --group NAME --wait, or revoke --group NAME.',
  },
  CONNECTOR_SEGMENT_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no connector segment of that ID.',
    action: 'Look at "signet connector segment list".',
  },
  CONNECTOR_SEGMENT_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'There is a connector segment of that ID already.',
    action: 'Change it: signet connector segment update.',
  },
  CONNECTOR_FOLLOWS_OBJECT: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A group or segment follows an object of Kubernetes, which would undo the change.',
    action: 'Change or delete the object that the message names.',
  },
  CONNECTOR_CHANGED: {
    status: 'Aborted',
    retryable: true,
    means: 'Something else changed the group, segment or key meanwhile.',
    action: 'Look at it as it is now, and try again.',
  },
  CONNECTOR_KEY_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no provisioning key, or no bound key, of that ID.',
    action: 'Look at "signet connector key list" or "signet connector bound-key list".',
  },
  CONNECTOR_BOUND_KEY_EXISTS: {
    status: 'AlreadyExists',
    retryable: false,
    means: 'The public key is registered for another group or another connector.',
    action: 'Delete that registration first, or have the connector make a key of its own.',
  },
  CONNECTOR_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no connector of that ID, or it was forgotten.',
    action: 'Look at "signet connector list".',
  },
  CONNECTOR_ENDED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The connector has stopped, expired or was revoked: there is nothing left to do to it.',
    action: 'Have it enrol again to bring it back; "signet connector delete" forgets it.',
  },
  CONNECTOR_NOT_ENDED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A connector was to be forgotten that has not ended.',
    action: 'Drain it ("signet connector drain --wait") or revoke it first.',
  },
  CONNECTOR_NOT_DRAINING: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A connector was to take flows again that does not drain.',
    action: 'Nothing, where it is active; "signet connector show" tells how it stands.',
  },
  CONNECTOR_NOT_CONNECTED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The connector has no session with the server that was asked.',
    action:
      'Ask the server that it is connected to, or try again when "signet connector list" shows it active.',
  },
  CONNECTOR_COMMANDS_UNANSWERED: {
    status: 'ResourceExhausted',
    retryable: true,
    means:
      'The connector is connected, and has left so many commands unanswered that it gets no more.',
    action:
      'Look at why it does not answer: its log, and "signet connector show". Its next session begins without them: restart it, or drain it.',
  },
  CONNECTOR_DIAGNOSTICS_NONE: {
    status: 'NotFound',
    retryable: false,
    means:
      'The server was not asked for diagnostics of the connector, or has forgotten what it told.',
    action: 'Ask it: signet connector diagnose ID, at the server that has its session.',
  },
  CONNECTOR_DIAGNOSTICS_REFUSED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The connector does not tell what helps to find a fault.',
    action: 'Look at its log, where it runs; "signet connector show" has what the server knows.',
  },
  CONNECTOR_DIAGNOSTICS_LATE: {
    status: 'DeadlineExceeded',
    retryable: true,
    means: 'The connector was asked for diagnostics and did not answer in time.',
    action:
      'Wait longer with --within, as a hook of the companion may take 30 s, or read it later with --last.',
  },
  CONNECTOR_UNCONFIRMED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A whole group was to be revoked or deleted, and nobody said yes.',
    action: 'Answer yes at the terminal, or give --yes.',
  },
});
