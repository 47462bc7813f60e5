import { defineErrors } from './define.ts';

/** The inventory of DPUs: what is in it, where each stands, and what follows from that. */
export const dpuErrors = defineErrors({
  DPU_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'The inventory has no DPU with this serial number.',
    action: 'Compare it with `signet dpu list`; add the DPU with `signet dpu import`.',
  },
  DPU_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A value in the description of a DPU is not one.',
    action: 'Correct the row and field that the message names; nothing was written.',
  },
  DPU_IMPORT_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The file to import is no inventory, or has faulty rows.',
    action: 'Correct the rows that the message names; with --dry-run nothing is ever written.',
  },
  DPU_STATE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The DPU may not go from the state that it is in to the one asked for.',
    action:
      'Look at it with `signet dpu show`; out of quarantine leads `signet dpu release`, and then a full attestation.',
  },
  DPU_KEY_TAKEN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The device key is pinned to another DPU.',
    action: 'Find out which of the two is genuine; retire the other, then pin the key again.',
  },
  DPU_KEY_MISSING: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'No device key is pinned to the DPU, so nothing that it shows can be compared.',
    action: 'Commission it: `signet dpu commission` with --device-id, or --from-bmc.',
  },
  DPU_BMC_UNCONFIRMED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Nobody said that the TLS key which a BMC shows is its own, so it was sent nothing.',
    action:
      'Compare the pin with what you know of the BMC, then give it with --tls-pin; or --tls-ca, or --accept-pin.',
  },
  DPU_COLLECTOR_ABSENT: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'This server is not set up to ask the BMC of a DPU.',
    action: 'Set dpu.bmc in the configuration, or give the values by hand.',
  },
  DPU_EVIDENCE_ABSENT: {
    status: 'NotFound',
    retryable: false,
    means: 'This server has no evidence of the DPU.',
    action: 'Ask the server that appraised it; `signet dpu show` names the evidence.',
  },
  DPU_TWIN: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'One device key was shown by two parties at once, or for two DPUs. All of them are in quarantine.',
    action:
      'Look at the cards and their hosts on the spot; release the genuine one, retire the other.',
  },
  DPU_MOVED: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The DPU sits in another host than the inventory says. Whoever is concerned is in quarantine.',
    action:
      'Find out who moved the card; where it is right, import its new place, then release it.',
  },
  DPU_HOST_CARD_ABSENT: {
    status: 'FailedPrecondition',
    retryable: true,
    means:
      'The BMC of the host does not list the DPU; while a host is off, many list no card at all.',
    action:
      'Compare host_bmc_host in the inventory with where the card sits; switch the host on and try again.',
  },
  AGENT_QUARANTINED: {
    status: 'PermissionDenied',
    retryable: true,
    means: 'The DPU of the node is in quarantine, retired, or has to attest in full first.',
    action:
      'Look at its reason with `signet dpu show`; release it when that is settled, and it attests again.',
  },
  ZONE_NOT_MET: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The configuration demands another zone, or more assurance, than the node has.',
    action:
      'Compare the rule of zones.rules that the message names with `signet agent show` and `signet dpu show`.',
  },
  ISOLATION_FAILED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The isolation hook did not do its work; the quarantine is in force all the same.',
    action: 'Isolate the node by hand, and look at the hook: the message says how it failed.',
  },
});
