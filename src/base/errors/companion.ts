import { defineErrors } from './define.ts';

/** Refusals of the companion that runs beside a connector. */
export const companionErrors = defineErrors({
  COMPANION_STATE_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: "A file of the companion's data directory is damaged or not its own.",
    action:
      'Remove the file that the message names; the companion enrols again, which may take another use of a provisioning key.',
  },
  COMPANION_STATE_FOREIGN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The data directory holds the state of another trust domain or connector group.',
    action: 'Point dataDir at another directory, or correct trustDomain and group.',
  },
  COMPANION_PROOF: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'What the connector is to prove itself with cannot be read, or is empty.',
    action:
      'Put the token, provisioning key or bound key where the section enrol of connector.yaml says; it is read at each try.',
  },
  COMPANION_BOUND_KEY: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The bound key is absent, damaged or open to others; no other is made in its place.',
    action:
      'Restore the file, or make a key with `signet connector make-key --data-dir …` and register what it prints.',
  },
  COMPANION_BUNDLE: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'There is no bundle that the server could be verified against.',
    action:
      'Write the bundle with `signet bundle show`, or have the server publish it, and check bootstrap.bundlePath or workloadApi.socket; it is read at each try.',
  },
  COMPANION_SERVER_ANSWER: {
    status: 'Internal',
    retryable: true,
    means: 'Something that the server sent makes no sense: a field is missing, or does not verify.',
    action: 'Check that server and companion have compatible versions, and both clocks.',
  },
  COMPANION_SERVER_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server cannot be reached, or cannot answer now.',
    action:
      'Check server.address and server.port of connector.yaml, the proxy, and that the server runs; the companion goes on trying.',
  },
  COMPANION_SERVER_REFUSED: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The server refused a request of the companion, with no code of its own.',
    action:
      "Check that connectors are switched on at that server, and read the server's log for the same moment.",
  },
  COMPANION_SEGMENTS: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'Segments that the server sent cannot be applied; those accepted before stay.',
    action: 'See the segment that the message names with `signet connector segment show`.',
  },
  COMPANION_REVOKED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'This connector was revoked. Its key files were removed.',
    action:
      'Find out why with `signet connector show`; it is let in again when operators delete it there.',
  },
  COMPANION_HOOK: {
    status: 'Internal',
    retryable: true,
    means: 'A hook failed: its command, or the signal.',
    action: 'Correct the section hooks of connector.yaml or the program; it is tried again.',
  },
  COMPANION_LOCAL: {
    status: 'Unavailable',
    retryable: true,
    means: 'The companion does not answer on its local socket.',
    action: 'Check that it runs and that --socket names local.path of its connector.yaml.',
  },
  COMPANION_NOT_DRAINED: {
    status: 'DeadlineExceeded',
    retryable: true,
    means: 'Flows were still open when the time for draining was over.',
    action: 'Give more time by --timeout and terminationGracePeriodSeconds, or let them break.',
  },
});
