import { defineErrors } from './define.ts';

/** Refusals of the section of upstream authorities, and of servers below this one. */
export const upstreamErrors = defineErrors({
  UPSTREAM_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The upstream authority cannot be reached, or does not answer in time.',
    action:
      'Check the address, the network and the upstream itself. The CA in use goes on until its end, and the server tries again by itself.',
  },
  UPSTREAM_REFUSED: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The upstream authority answered and refused.',
    action:
      'Grant this server what it asks for: the message and the log of the upstream say what is missing.',
  },
  UPSTREAM_THROTTLED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'The upstream authority refuses calls because a quota is used up.',
    action:
      'Raise the quota, or find out who else uses it up; the server tries again by itself, with growing waits.',
  },
  UPSTREAM_CREDENTIALS: {
    status: 'Unauthenticated',
    retryable: true,
    means:
      'The upstream authority does not accept who this server is: a login, token or credential.',
    action:
      'Check the token, role or credentials that the upstream section names; an expired one has to be renewed first.',
  },
  UPSTREAM_PERMISSION: {
    status: 'PermissionDenied',
    retryable: true,
    means: 'The upstream authority knows this server, but does not let it have a CA certificate.',
    action: 'Compare the policy of its role, token or account with the one in docs/upstream.md.',
  },
  UPSTREAM_PENDING: {
    status: 'Unavailable',
    retryable: true,
    means: 'The upstream authority took the request, and has not issued the certificate in time.',
    action:
      'Look at the request where the upstream keeps it: it may wait for an approval. The server looks again by itself.',
  },
  UPSTREAM_SETTINGS: {
    status: 'FailedPrecondition',
    retryable: true,
    means:
      'A setting of the upstream cannot be used: a file or variable is missing, or unreadable.',
    action: 'Correct what the message names in the upstream section of server.yaml.',
  },
  UPSTREAM_ANSWER_INVALID: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'What the upstream authority issued cannot be used as the CA of this trust domain.',
    action:
      'Correct what the message names at the upstream (its role, template or chain); the CA in use stays until then.',
  },
  UPSTREAM_FILES: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The files of the upstream CA are missing, open to others, or do not fit together.',
    action: 'Put the file that the message names right; it is read again at the next try.',
  },
  UPSTREAM_IDENTITY: {
    status: 'Unavailable',
    retryable: true,
    means: 'This server got no X.509-SVID with which it could call the server above it.',
    action:
      'Check that the agent behind the Workload API socket runs, and that an entry with the downstream flag selects this server.',
  },
  UPSTREAM_OWNS_ROOT: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'The authority stands below an upstream, so its root is not for this server to take back.',
    action:
      'Use `signet upstreamauthority taint` and `revoke` for its root; below another server do it there, which this one follows. Or prepare and activate another authority here.',
  },
  DOWNSTREAM_CSR: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A server below this one asked for a CA of something else than the trust domain.',
    action:
      'Ask with exactly one name, the SPIFFE ID of the trust domain without a path: nothing outside SPIFFE hangs below its root.',
  },
  DOWNSTREAM_PATH_LENGTH: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The authority of this server may not have CAs below it.',
    action:
      'Have the upstream of this server issue its CA with a longer path length, or with none.',
  },
  DOWNSTREAM_JWT_KEY: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A JWT key that a server below this one publishes cannot be taken into the bundle.',
    action: 'Publish a key of an allowed kind, with a key id of its own and an end in the future.',
  },
});
