import { defineErrors } from './define.ts';

/** Refusals of listeners, connections and calls. */
export const transportErrors = defineErrors({
  SOCKET_PATH_TOO_LONG: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The path of a Unix socket is longer than 107 bytes, the kernel’s limit.',
    action: 'Choose a shorter path for the socket.',
  },
  SOCKET_PATH_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The path of a Unix socket is not absolute or not a plain file path.',
    action: 'Give an absolute path, such as /run/signet/agent/public/api.sock.',
  },
  SOCKET_PATH_UNSAFE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The path of a Unix socket, or its folder, is something that others control.',
    action:
      'Remove what stands at the path, and make the folder a real folder of this user that nobody else may write.',
  },
  SOCKET_IN_USE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Another live process listens on the Unix socket.',
    action: 'Stop the other process, or give this one another socket path.',
  },
  LISTEN_FAILED: {
    status: 'Unavailable',
    retryable: false,
    means: 'A listener could not be opened.',
    action: 'Free the address or path, or choose another; the log has the system’s reason.',
  },
  PEER_CREDENTIALS_UNAVAILABLE: {
    status: 'Internal',
    retryable: false,
    means: 'The kernel did not say which process is at the other end of a connection.',
    action: 'Run on Linux with the koffi package installed; report it if it is.',
  },
  REQUEST_MALFORMED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A request message is not valid protobuf of its type.',
    action: 'Update the caller, or look for what damages its messages.',
  },
  TOO_MANY_REQUEST_BYTES: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'The unfinished requests of the caller, or of all callers, hold too many bytes.',
    action:
      'Send fewer large requests at once; `requests_refused_total` of the listener says how often it happens.',
  },
  METHOD_UNKNOWN: {
    status: 'Unimplemented',
    retryable: false,
    means: 'A call is for a method that this listener does not serve.',
    action:
      'Check the address and the versions of both sides; some methods are on one socket only.',
  },
  HEALTH_SERVICE_UNKNOWN: {
    status: 'NotFound',
    retryable: false,
    means: 'A health check names a service that this process does not have.',
    action: 'Ask without a service name for the whole process.',
  },
  SERVER_STOPPING: {
    status: 'Unavailable',
    retryable: true,
    means: 'The process is shutting down.',
    action: 'Connect again; another instance or the restarted one answers.',
  },
  CONNECTION_ENDED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The connection of a call ended before the call was answered.',
    action: 'Connect again.',
  },
  RATE_LIMITED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'A caller sent more requests than its limit allows.',
    action: 'Slow the caller down, or raise the limit in the configuration.',
  },
  MESSAGE_TOO_LONG: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'A request message is longer than callers of its kind may send.',
    action: 'Split the request; callers without an identity may send 256 KiB, others more.',
  },
  TOO_MANY_OPEN_REQUESTS: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'A caller, or all together, began more calls than may wait for their request at once.',
    action: 'Begin fewer calls at once, and send each request whole without delay.',
  },
  CLIENT_CERTIFICATE_REFUSED: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'A client presented a certificate that our validator refuses.',
    action: 'See the reason beside it; attest the agent again if its certificate has lapsed.',
  },
  SERVER_CERTIFICATE_REFUSED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server’s certificate does not prove that it is the trust domain’s server.',
    action:
      'Check the trust domain, the server’s address and the bootstrap bundle, then both clocks.',
  },
  TLS_HANDSHAKE_FAILED: {
    status: 'Unavailable',
    retryable: true,
    means: 'A TLS connection could not be set up.',
    action: 'Check that the address is a Signet server’s port and that TLS versions agree.',
  },
  TLS_CONFIGURATION: {
    status: 'Internal',
    retryable: false,
    means: 'A certificate chain and key do not make a usable TLS identity.',
    action: 'Report it with the log lines around it.',
  },
  HTTP_ANSWER_TOO_LONG: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'An answer over HTTP is longer than is read.',
    action: 'Look at what answers at that address; the log names the request.',
  },
});
