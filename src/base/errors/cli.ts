import { defineErrors } from './define.ts';

/** Refusals of the cli section: the command line, `signet dev` and the Workload API client. */
export const cliErrors = defineErrors({
  CLI_USAGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The command line is not one that the command understands.',
    action: 'Correct it; the command with --help shows every flag and an example.',
  },
  CLI_UNSUPPORTED_FLAG: {
    status: 'Unimplemented',
    retryable: false,
    means: 'SPIRE has this flag and Signet does not.',
    action: 'Leave it out, or use what the message names instead.',
  },
  CLI_SERVER_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'Nobody answers on the admin socket of the server.',
    action:
      'Start a server (signet server run, or signet dev), or name its socket with --server-socket or SIGNET_SERVER_SOCKET.',
  },
  CLI_AGENT_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'Nobody answers on the Workload API socket of the agent.',
    action:
      'Start an agent (signet agent run, or signet dev), or name its socket with --agent-socket or SPIFFE_ENDPOINT_SOCKET.',
  },
  CLI_SOCKET_DENIED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'This user may not open the socket.',
    action: 'Run the command as root, as the user of the server, or in the group of its socket.',
  },
  CLI_TIMEOUT: {
    status: 'DeadlineExceeded',
    retryable: true,
    means: 'The answer did not come in time.',
    action: 'Look at the log of the other side, or wait longer with --timeout.',
  },
  CLI_REFUSED: {
    status: 'Unknown',
    retryable: false,
    means: 'The other side refused the request, with the status and message shown.',
    action: 'Act on the message; its status is explained beside it.',
  },
  CLI_PARTLY_FAILED: {
    status: 'Unknown',
    retryable: false,
    means: 'Some items of a batch were refused; the others were done.',
    action:
      'Correct the items listed, as docs/errors.md says for the code of each, and send only those again.',
  },
  CLI_ANSWER_INVALID: {
    status: 'Internal',
    retryable: false,
    means: 'The other side answered with something that the protocol does not allow.',
    action: 'Check that the socket belongs to Signet or SPIRE, and that its version is not older.',
  },
  CLI_FILE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A file named on the command line could not be read or written.',
    action: 'Check that it exists and who may read and write it and its folder.',
  },
  CLI_DATA_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'What is given as data (JSON, YAML or CSV) is not what the command takes.',
    action: 'Correct the place that the message names; --help says what the command takes.',
  },
  CLI_UNHEALTHY: {
    status: 'Unavailable',
    retryable: true,
    means: 'The process answers, and says that it is not serving.',
    action: 'Look at its log; it serves once it has what it waits for.',
  },
  CLI_PLATFORM: {
    status: 'Unimplemented',
    retryable: false,
    means: 'The command needs what only Linux has.',
    action: 'Run it on Linux, x64 or arm64.',
  },
  DEV_DIR_FOREIGN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The folder holds files and was not made by "signet dev".',
    action: 'Name an empty or new folder with --dir.',
  },
  DEV_DIR_TRUST_DOMAIN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The folder of "signet dev" belongs to another trust domain.',
    action: 'Use the trust domain of the folder, or name another folder with --dir.',
  },
  DEV_DIR_BUSY: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Another "signet dev" runs on the folder.',
    action: 'Stop the other one, or name another folder with --dir.',
  },
  DEV_SOCKET_PATH_TOO_LONG: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A socket in the folder would have a path of more than 107 bytes, the limit of Linux.',
    action: 'Name a folder with a shorter path with --dir.',
  },
  DEV_CHILD_ENDED: {
    status: 'Internal',
    retryable: false,
    means: 'The server or the agent of "signet dev" ended by itself.',
    action: 'Read the lines of its log that are shown, correct the cause, and start again.',
  },
  DEV_NOT_READY: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server or the agent of "signet dev" did not become ready in time.',
    action: 'Read the lines of its log that are shown; on a loaded machine try again.',
  },
  DEMO_FAILED: {
    status: 'Internal',
    retryable: false,
    means: 'A step of the demo did not do what it should.',
    action:
      'Read what the step says; "npm run demo -- --keep" leaves everything running to look at.',
  },
  WORKLOAD_ADDRESS_MISSING: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'No address of a Workload API was given.',
    action: 'Set SPIFFE_ENDPOINT_SOCKET, such as unix:///run/signet/agent/public/api.sock.',
  },
  WORKLOAD_ADDRESS_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The address of the Workload API is no unix:///path or tcp://ip:port.',
    action: 'Write it as unix:///run/signet/agent/public/api.sock or tcp://127.0.0.1:8000.',
  },
  WORKLOAD_RESPONSE_INVALID: {
    status: 'Internal',
    retryable: true,
    means: 'The Workload API sent a response that the standard tells clients to discard.',
    action: 'Look at the log of the agent; the client goes on with its next response.',
  },
  WORKLOAD_DENIED: {
    status: 'PermissionDenied',
    retryable: true,
    means: 'The agent has no identity for this process.',
    action:
      'Create an entry whose selectors this process has ("signet entry create"), with the agent or an alias of it as parent.',
  },
  WORKLOAD_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'No agent answers at the address of the Workload API, or it is not ready.',
    action: 'Check that the agent runs and that the address is its own; the client tries again.',
  },
  WORKLOAD_FAILED: {
    status: 'Unknown',
    retryable: false,
    means: 'The Workload API refused the request, with the status and message shown.',
    action: 'Act on the message, and look at the log of the agent.',
  },
  PEER_UNTRUSTED: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'The certificate of the other side is not a valid X.509-SVID of a trusted domain.',
    action: 'Check that both sides hold current bundles, and that their trust domains federate.',
  },
  PEER_NOT_AUTHORIZED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The other side has a valid identity, and not one that is allowed here.',
    action: 'Allow its SPIFFE ID, or call with the identity that is allowed.',
  },
});
