import { defineErrors } from './define.ts';

/** Refusals of what a TPM is said to have made, and of the agent's own TPM. */
export const tpmErrors = defineErrors({
  TPM_STRUCTURE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A structure of a TPM 2.0 is malformed, or of a kind that is not taken.',
    action:
      'Update the agent; a TPM with other algorithms than RSA, P-256 and P-384 is not supported.',
  },
  TPM_KEY: {
    status: 'PermissionDenied',
    retryable: false,
    means: "A TPM's key may leave its TPM, or may be used for more than its purpose.",
    action: 'Provision the key again with the attributes in docs/attestation.md.',
  },
  TPM_SIGNATURE: {
    status: 'PermissionDenied',
    retryable: false,
    means: "A signature of a TPM's key does not verify.",
    action:
      'Attest again; where it persists, look for somebody in between, or a TPM that is broken.',
  },
  TPM_QUOTE: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'A quote is not the one that was asked for, or does not fit the registers shown with it.',
    action:
      'Attest again; where it persists, look for software that changes registers all the time.',
  },
  TPM_CLOCK: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The counters of a TPM went back since its last attestation, or its clock is not safe and has to be.',
    action:
      'Find out whether the TPM was cleared, or its state restored from a copy. Where it was cleared rightly, delete the agent and let it attest anew; an unsafe clock is safe again within hours of operation.',
  },
  TPM_EVENT_LOG: {
    status: 'PermissionDenied',
    retryable: false,
    means:
      'The event log of a boot is missing or malformed, or does not lead to the registers quoted.',
    action:
      'Let the agent read the log of its firmware (attestation.tpm.eventLogPath), and quote registers that the log covers; else something extended them unseen.',
  },
  TPM_CERTIFY: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'A TPM does not certify the key that is shown.',
    action: 'Check that the DevID key and its certificate are those of this machine.',
  },
  TPM_EK: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The endorsement key is of no pinned manufacturer and not on the list of known keys.',
    action:
      "Add the manufacturer's root, or the key's hash, which the message names, after checking it on the machine.",
  },
  TPM_ACTIVATION: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The attestation key is not in the TPM of the endorsement key.',
    action: 'Attest again; where it persists, somebody shows keys of another machine.',
  },
  TPM_DEVID: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The agent does not hold the DevID key, or its certificate is for another.',
    action: 'Check that the DevID certificate and key blobs belong together; else look for theft.',
  },
  AGENT_TPM_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The TPM of this machine cannot be reached, or does not answer.',
    action:
      'Check attestation.tpm.device, that the agent may open it, and that nothing else keeps it busy.',
  },
  AGENT_TPM_REFUSED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The TPM of this machine refused a command.',
    action:
      'Look the response code up; a hierarchy with a password, or keys of another TPM, are the usual causes.',
  },
  AGENT_TPM_FILES: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A file that the agent attests with its TPM by cannot be used.',
    action: 'Correct the setting of attestation that the message names, or the file.',
  },
});
