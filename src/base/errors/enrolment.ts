import { defineErrors } from './define.ts';

/** Refusals of enrolments of connectors. */
export const enrolmentErrors = defineErrors({
  CONNECTOR_GROUP_UNKNOWN: {
    status: 'NotFound',
    retryable: false,
    means: 'There is no connector group of that name.',
    action: 'Look with `signet connector group list`, and make it or correct the name.',
  },
  CONNECTOR_GROUP_FULL: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'The connector group has as many connectors as it may have.',
    action: 'Raise maxInstances of the group, or let connectors that are gone be forgotten.',
  },
  CONNECTOR_NODE_NOT_ATTESTED: {
    status: 'PermissionDenied',
    retryable: true,
    means: 'The group asks for an attested node, and no agent vouches for the connector.',
    action:
      'Have the agent of its node attest (`signet agent list`), or take requireAttestedNode, zones and assurance out of the group.',
  },
  CONNECTOR_NODE_ZONE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The node of the connector is in another security zone than the group is for.',
    action: 'Run the connector on a node of a zone of the group, or add the zone to the group.',
  },
  CONNECTOR_NODE_ASSURANCE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The node of the connector has attested less firmly than the group asks for.',
    action: 'Run it on a node that attests as the group asks, or lower assurance of the group.',
  },
  CONNECTOR_CHALLENGE_UNKNOWN: {
    status: 'Aborted',
    retryable: true,
    means: 'The challenge is not one that this server gave since it started.',
    action: 'Nothing: a connector gets another challenge over the connection that it enrols by.',
  },
  CONNECTOR_CHALLENGE_EXPIRED: {
    status: 'Aborted',
    retryable: true,
    means: 'The challenge is older than 60 seconds.',
    action: 'Nothing: a connector gets another one; if it lasts, see why it takes so long.',
  },
  CONNECTOR_CHALLENGE_USED: {
    status: 'Aborted',
    retryable: true,
    means: 'The challenge has been answered already: an enrolment was sent twice.',
    action:
      'A connector gets another one by itself; if none did, look who repeats what others have sent.',
  },
  CONNECTOR_CHALLENGE_KEY: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The challenge was given for another key than that of the certificate request.',
    action: 'Correct the connector: it asks for a challenge with the key that it enrols.',
  },
  CONNECTOR_SIGNATURE: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A signature over the challenge does not verify.',
    action: 'Correct the connector (docs/connector-protocol.md says what is signed, and how).',
  },
  CONNECTOR_CLOCK_SKEW: {
    status: 'FailedPrecondition',
    retryable: false,
    means: "The connector's clock is too far from the server's: its certificates would not work.",
    action: 'Set the clock of its machine (NTP); the message says by how much it is off.',
  },
  CONNECTOR_TLS_INTERCEPTED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The connector was shown another certificate than this server has: something opens TLS.',
    action: 'Take the address of the server out of what the proxy or firewall inspects.',
  },
  CONNECTOR_PROOF_DENIED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The group does not take this kind of proof.',
    action: 'Enrol by a proof that stands in proofs of the group, or add this one.',
  },
  CONNECTOR_CLAIMANT_DENIED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The service account or the SPIFFE ID may not enrol into the group.',
    action: 'Add it to serviceAccounts or spiffeIds of the group if its connectors are meant.',
  },
  CONNECTOR_KEY_UNKNOWN: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The provisioning key or bound key is none that this server knows.',
    action:
      'Make a new key (`signet connector key create`): one that was deleted or copied in part is none.',
  },
  CONNECTOR_KEY_EXPIRED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The provisioning key has expired.',
    action: 'Make a new key (`signet connector key create`) and give it to the connector.',
  },
  CONNECTOR_KEY_EXHAUSTED: {
    status: 'ResourceExhausted',
    retryable: false,
    means:
      'The provisioning key has been used, or the bound key has recovered, as often as it may.',
    action: 'Make a new key; see with `signet connector list` who has used it.',
  },
  CONNECTOR_KEY_GROUP: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The key leads to another group than the connector asks for.',
    action: 'Give the connector a key of its group, or correct the group that it asks for.',
  },
  CONNECTOR_KEY_CIDR: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The provisioning key is used from an address that it is not for.',
    action: 'Add the address to the CIDRs of a new key; if it is not yours, delete the key.',
  },
  CONNECTOR_KEY_REUSED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A connector asks to renew its SVID for a key that it is known to have used before.',
    action: 'Correct the connector: it makes a new key for each renewal.',
  },
  CONNECTOR_CLONE_SUSPECTED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'Somebody else is this connector already: its key or its identity was copied.',
    action:
      'See with `signet connector show` which one runs and from where; revoke it if that is the copy, and give each its own key.',
  },
  CONNECTOR_TOKEN: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'The service account token is not accepted by its cluster, or is for another audience.',
    action: 'Give the projected token of the pod an audience of connectors.audiences.',
  },
  CONNECTOR_TOKEN_UNBOUND: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The service account token is not bound to a pod, or does not say on which node that is.',
    action: 'Mount a projected token; the cluster has to be 1.30 or later.',
  },
  CONNECTOR_CLUSTER: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'It is not clear which cluster a service account token is of.',
    action:
      'Have the connector name its cluster as kubernetes.clusters of the server does (kubernetes_cluster).',
  },
  CONNECTOR_POD: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The pod or node of the token is gone, ends, or is not as the token says.',
    action:
      'Nothing where the pod was deleted; else look who uses the token of a pod that is no more.',
  },
  CONNECTOR_KUBE_API: {
    status: 'Unavailable',
    retryable: true,
    means: 'The cluster of a connector could not be asked about it, so nothing was decided.',
    action:
      'Check that the API server is there and lets this server create tokenreviews and get pods and nodes.',
  },
  CONNECTOR_SVID: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The connection shows no X.509-SVID that proves anything: none, or one that was taken back.',
    action:
      'Open the connection with a live X.509-SVID of a workload or agent of this trust domain.',
  },
  CONNECTOR_BUSY: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'Too many connectors enrol at once.',
    action:
      'Nothing: connectors try again. If it lasts, see connectors.enrolmentsPerSecond and tokenReviews.',
  },
});
