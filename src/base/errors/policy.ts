import { defineErrors } from './define.ts';

/** Refusals of callers and of grants. */
export const policyErrors = defineErrors({
  METHOD_NOT_LISTED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The RPC is not in the table of who may call what.',
    action: 'Report it: an RPC that is served must be in the table.',
  },
  CALLER_NOT_ALLOWED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'Callers of this kind may not make this call.',
    action: 'Call over the admin socket, or with the SVID of an admin or agent, as the call needs.',
  },
  CALLER_NOT_LOCAL_OPERATOR: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A process without the right to the admin socket called on it.',
    action:
      'Run the command as root, as the user of the server or as a member of adminSocket.group.',
  },
  CALLER_FOREIGN: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The client certificate is of another trust domain and not of a listed admin.',
    action: 'Use an SVID of this trust domain, or list the SPIFFE ID in adminIds.',
  },
  AGENT_EXPIRED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The SVID of the agent has expired.',
    action: 'Let the agent attest again; check its clock if it should have renewed in time.',
  },
  AGENT_NOT_ATTESTED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The server knows no agent with this SPIFFE ID.',
    action: 'Let the agent attest again; with join tokens, make a new token for it.',
  },
  AGENT_NOT_ACTIVE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The agent called with an SVID that a newer one has replaced.',
    action: 'Let the agent attest again; find out whether its key is in use on a second machine.',
  },
  SVID_REVOKED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The caller shows an X.509-SVID that was revoked.',
    action:
      'Let an agent attest again, with a new join token where it joined by one; a workload has a new SVID from its agent.',
  },
  AGENT_BANNED: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The agent is banned. Once it learns of it, it removes its identity from its data directory.',
    action:
      'Find out why it was banned; to let it in again, evict it on the server and attest anew.',
  },
  AGENT_MUST_REATTEST: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The agent asked to renew, but its attestor wants it to attest again.',
    action: 'Nothing: the agent attests again by itself.',
  },
  ENTRY_NOT_AUTHORIZED: {
    status: 'NotFound',
    retryable: false,
    means: 'The entry does not exist, has expired or is not one of the calling agent.',
    action: 'Compare the entry and its parent with the agent by `signet entry show`.',
  },
  GRANT_SPIFFE_ID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'No SVID may be issued for this SPIFFE ID by this way.',
    action:
      'Ask for a SPIFFE ID of this trust domain, with a path outside of /spire, and of /connector where connectors are served.',
  },
  GRANT_OUTDATED: {
    status: 'Aborted',
    retryable: true,
    means: 'Agent or entry changed between the decision to issue and the signature.',
    action: 'Nothing: the caller asks again and is judged by the new state.',
  },
  GRANT_FORGED: {
    status: 'Internal',
    retryable: false,
    means: 'A signature was asked for with a grant that policy did not make.',
    action: 'Report it with the log lines around it.',
  },
  REGISTRY_STALE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server has not followed the changes of its database for too long to issue by them.',
    action: 'Bring the database back; the log says why the change feed cannot be read.',
  },
});
