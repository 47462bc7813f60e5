import { defineErrors, type ErrorRow } from './define.ts';

const refusal = (means: string, action: string): ErrorRow => ({
  status: 'PermissionDenied',
  retryable: false,
  means,
  action,
});

/** Hosts that their DPU vouches for: what is wrong with a voucher, or with asking for one. */
export const voucherErrors = defineErrors({
  DPU_HOST_NOT_ATTESTED: refusal(
    'The server does not accept what the agent of a host showed; the agent is told no more than the kind of thing.',
    "Look in the server's log for the code and the reason of this refusal.",
  ),
  DPU_HOST_NOT_JUDGED: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The server cannot take the word of the DPU of this host now, such as while it is to attest.',
    action:
      "Nothing, the agent tries again; where it lasts, look in the server's log for the reason.",
  },
  DPU_HOST_MESSAGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A message between host, DPU and server about a voucher is malformed or too large.',
    action: 'Check that both agents and the server have compatible versions.',
  },
  DPU_HOST_POSSESSION: refusal(
    'The voucher is not signed by the key that the SVID was asked for, or its request not by the key of the boot.',
    'Find out who sits between agent and server: the voucher came from somebody else.',
  ),
  DPU_HOST_UNKNOWN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The inventory does not know the UUID of the host that a DPU sits in.',
    action: 'Import it (host_uuid) with `signet dpu import`, or let the BMC of the host be asked.',
  },
  DPU_HOST_NOT_ADMITTED: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The DPU that vouches is not in a state in which its word counts; the agent asks again.',
    action: 'Look at it with `signet dpu show`; its own agent has to attest first.',
  },
  VOUCHER_MALFORMED: refusal(
    'A voucher is no JWS of the form that agents of DPUs make.',
    "Check that the agent of the DPU has the server's version; else look for who wrote it.",
  ),
  VOUCHER_ALGORITHM: refusal(
    'A voucher names another signature algorithm than the one of the key that it is checked by.',
    'Look for who wrote it: agents of DPUs do not make such vouchers.',
  ),
  VOUCHER_SIGNER: refusal(
    'The chain with a voucher is not that of an agent of a DPU in the inventory.',
    "Read the reason in the server's log; where the chain is foreign, somebody else wrote the voucher.",
  ),
  VOUCHER_SIGNER_OUTDATED: {
    status: 'FailedPrecondition',
    retryable: true,
    means:
      'A voucher is signed with an SVID that the agent of the DPU has no more; the agent asks for another.',
    action: 'Nothing; where it lasts, see why the agent of the DPU does not attest.',
  },
  VOUCHER_SIGNATURE: refusal(
    'The signature of a voucher does not verify with the key of the DPU’s agent.',
    'Look for who changed it: the voucher was not made by this DPU.',
  ),
  VOUCHER_AUDIENCE: refusal(
    'A voucher is for the server of another trust domain.',
    'Check that both agents belong to the same trust domain.',
  ),
  VOUCHER_NONCE: refusal(
    'A voucher holds another nonce than the one of this attestation.',
    'Nothing, unless it comes again: then somebody shows vouchers that were recorded earlier.',
  ),
  VOUCHER_TIME: refusal(
    'A voucher is over, not valid yet, or valid for longer than a minute.',
    'Synchronise the clocks of DPU and server.',
  ),
  VOUCHER_KEY: refusal(
    'A voucher is for another key than the one that the SVID is asked for.',
    'Find out who sits between agent and server: the voucher was made for somebody else.',
  ),
  VOUCHER_HOST: refusal(
    'A voucher names another host, or another tenant, than the inventory has for this DPU.',
    'Compare `signet dpu show` with the machine and with voucher in agent.yaml on its DPU; import what changed.',
  ),
  VOUCHER_SECOND_KEY: refusal(
    'Another key than the first asked for a voucher in the same boot of the host.',
    'Look at the host: a process beside the agent, such as a pod on the host network, may be asking. Reboot it when in doubt. Where its key is really new: `signet dpu confirm-host`.',
  ),
  VOUCHER_BOOT_UNCONFIRMED: refusal(
    'A new key asks for a voucher and names a new boot of the host, which the DPU did not see by itself.',
    'Where the host was installed anew: remove voucher-keys.json on the DPU and run `signet dpu confirm-host`; else look at the host.',
  ),
  VOUCHER_TPM_MISSING: refusal(
    'The TPM of a host is demanded, and its agent shows none.',
    'Set attestation.dpuHost.tpm in agent.yaml of the host, or take its zone out of attestation.dpuHost.requireTpm.',
  ),
  VOUCHER_TPM_KEY: refusal(
    'The TPM of a host is another one than it showed first.',
    'Where its board was replaced: `signet dpu confirm-host --tpm`; else another machine poses as this host.',
  ),
  VOUCHER_BOOT_WITNESS: {
    status: 'Unavailable',
    retryable: true,
    means: 'The file by which the DPU sees boots of its host cannot be read.',
    action: 'Correct voucher.hostBootPath in agent.yaml of the DPU, or what writes that file.',
  },
  VOUCHER_REQUEST: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'A request for a voucher breaks a rule of the endpoint: header, method, form, size or origin.',
    action: 'Only the agent of the host is to ask there; look at what else does.',
  },
  VOUCHER_NOT_READY: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The agent of the DPU cannot vouch now: it has no SVID of a DPU, or too much is asked at once.',
    action: 'See whether the agent of the DPU has attested; the agent of the host tries again.',
  },
  VOUCHER_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The DPU does not answer on the endpoint for vouchers.',
    action: 'Check attestation.dpuHost.address on the host and voucher.listen on the DPU.',
  },
  VOUCHER_REFUSED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The DPU refused a voucher to the agent of its host.',
    action: "Read the log of the DPU's agent: it names the reason.",
  },
  VOUCHER_STATE_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: 'The file with the first key of the host, or with the key of this boot, is damaged.',
    action:
      'Find out what wrote to it; then remove it, and confirm the host as for a new installation.',
  },
  AGENT_HOST_FACTS: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'The agent is to attest by the DPU of its host and cannot read boot id or UUID of the host.',
    action:
      'Set attestation.dpuHost.uuidPath and bootIdPath to files that hold them; it has to run as root.',
  },
});
