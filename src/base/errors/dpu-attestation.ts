import { defineErrors, type ErrorRow } from './define.ts';

const refusal = (means: string, action: string): ErrorRow => ({
  status: 'PermissionDenied',
  retryable: false,
  means,
  action,
});

/** The attestation of DPUs: what is wrong with what an agent shows. */
export const dpuAttestationErrors = defineErrors({
  DPU_NOT_ATTESTED: refusal(
    'The server does not accept what the agent showed of its DPU; the agent is told no more than the kind of thing.',
    "Look in the server's log for the code and the reason of this refusal.",
  ),
  DPU_NOT_JUDGED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server cannot judge the DPU now, such as while its BMC does not answer.',
    action:
      "Nothing, the agent tries again; where it lasts, look in the server's log for the reason.",
  },
  DPU_MESSAGE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A message of the attestation of a DPU is malformed, of another version, or too large.',
    action: 'Check that agent and server have compatible versions.',
  },
  DPU_SESSION: refusal(
    'Evidence was sent for another session than the one that is open.',
    'Nothing, unless it comes again: then somebody sends evidence that was recorded earlier.',
  ),
  DPU_POSSESSION: refusal(
    'The evidence is not signed by the key that the SVID was asked for.',
    'Find out who sits between agent and server: the evidence came from somebody else.',
  ),
  DPU_EVIDENCE_INCOMPLETE: refusal(
    'Evidence that the server demands of a component is missing, of another kind, there twice, or was not asked for.',
    'Compare kinds and targets in the configurations of server and agent, and targets with `ComponentIntegrity` of the BMC.',
  ),
  DPU_OWN_KEY: refusal(
    'The key that the agent shows as its own is not the one that the first attestation pinned, or is not proven.',
    'Where the card has a new image, commission it anew with `signet dpu commission`; else somebody poses as its agent.',
  ),
  DPU_TPM_KEY: refusal(
    'The TPM behind the agent of a DPU is another one than at the first attestation.',
    'Where its board was replaced, commission the DPU anew with `signet dpu commission`; else somebody poses as its agent.',
  ),
  DPU_OWN_CERTIFICATE: refusal(
    "The certificate that the image brought does not hold, or is not for this card's serial number.",
    'Give the agent a certificate below attestation.dpu.ownKey.caPaths with the serial number as its subject serialNumber.',
  ),
  DPU_RELAY_BOUNDS: refusal(
    'A card was still being asked through its agent after more exchanges, bytes or time than one attestation may take.',
    'Look at the card: a sound one is done with some dozens of short answers. Else collect through its BMC.',
  ),
  DPU_RELAY_REFUSED: refusal(
    'The server asked this agent to relay something to its card that a collection of measurements does not need.',
    'Find out what runs at the address of the server: it is of another version, or somebody tries to drive the card.',
  ),
  DPU_NOT_ADMITTED: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The DPU may not attest in the state that it is in; its agent waits and asks again.',
    action: 'Look at it with `signet dpu show`; release it when what put it out is settled.',
  },
  DPU_KEY_UNKNOWN: refusal(
    'A genuine device answered, with a key that is not pinned to the DPU that the agent claims to be.',
    'Find the card by `signet dpu show`. A replaced card is commissioned anew; else somebody poses as this DPU.',
  ),
  DPU_JOIN_SECRET: refusal(
    'The one-time secret of the image is missing or wrong, and the DPU attests for the first time.',
    'Give the agent the secret of this image in attestation.dpu.joinSecretPath, or make another one by signet dpu commission --new-join-secret.',
  ),
  DPU_RELAYED: refusal(
    'What the server collected from the BMC itself is not from the same device, boot and firmware as what the agent showed.',
    'Take the node out: somebody may show evidence of a DPU that the agent does not run on.',
  ),
  DPU_BMC_UNKNOWN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The inventory does not say where the BMC of a DPU is, or by what it is recognised.',
    action:
      'Import its address and TLS pin with `signet dpu import`; a look without them is not taken.',
  },
  DPU_BMC_OTHER: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The BMC at the address of a DPU says that it sits on another card.',
    action: 'Correct the address in the inventory with `signet dpu import`; nothing was pinned.',
  },
  DPU_MANIFEST_ABSENT: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'No reference manifest says what a component may run.',
    action: "Add a manifest with this target to the server's attestation.dpu.manifests.",
  },
});
