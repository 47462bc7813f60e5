import { defineErrors } from './define.ts';

/** Refusals of talking to the BMC of a DPU (Redfish). */
export const redfishErrors = defineErrors({
  REDFISH_SETTINGS: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The address, the TLS pin or the credentials of a BMC cannot be used.',
    action:
      'Correct what the message names: a flag, the inventory record, or the files that it points to.',
  },
  REDFISH_UNREACHABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'No connection to the BMC, or it broke off.',
    action: 'Check the route to the management network, the address in the inventory and the BMC.',
  },
  REDFISH_TIMEOUT: {
    status: 'Unavailable',
    retryable: true,
    means: 'The BMC did not answer, or did not finish, in time.',
    action: 'Look at the load of the BMC; one that stays silent needs a reset.',
  },
  REDFISH_PIN_MISMATCH: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'What answers at the address of a BMC shows another certificate than the pinned one.',
    action:
      'Treat it as an incident until somebody says that the certificate was replaced; then pin the new one.',
  },
  REDFISH_TLS_UNTRUSTED: {
    status: 'Unauthenticated',
    retryable: false,
    means:
      'The certificate of a BMC does not lead to the CA that its record names, or has another name.',
    action: 'Check the CA file, the name and the validity of the certificate, and the address.',
  },
  REDFISH_UNAUTHENTICATED: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'The BMC does not accept the account.',
    action: 'Check user name and password; more attempts with wrong ones may lock the account.',
  },
  REDFISH_FORBIDDEN: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The BMC knows the account, but does not let it do this.',
    action: 'Give the account the role that docs/dpu-bmc.md names.',
  },
  REDFISH_NOT_FOUND: {
    status: 'NotFound',
    retryable: false,
    means: 'The BMC does not have a resource that was asked for.',
    action: 'Compare the firmware of the BMC and the mode of the card with docs/dpu-bmc.md.',
  },
  REDFISH_BUSY: {
    status: 'Unavailable',
    retryable: true,
    means: 'The BMC is already collecting from this target, or is busy, for longer than is waited.',
    action: 'Find out who else collects from this BMC; it does one collection at a time.',
  },
  REDFISH_FAULT: {
    status: 'Unavailable',
    retryable: true,
    means: 'The BMC answered with a fault of its own, perhaps beside fields that look valid.',
    action: 'Update or reset the BMC if it lasts; nothing of such an answer is believed.',
  },
  REDFISH_REFUSED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The BMC refused a request for a reason that has no code of its own here.',
    action: 'Read the message identifier of the BMC in the log.',
  },
  REDFISH_REDIRECT: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The BMC sends elsewhere: to another host, to plain HTTP, or in circles.',
    action: 'Treat it as an incident: no redirect leaves the pinned BMC.',
  },
  REDFISH_ANSWER_TOO_LARGE: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'An answer of the BMC, or its headers, are longer than is read.',
    action: 'Treat it as an incident; if the firmware really answers so, report it.',
  },
  REDFISH_ANSWER_MALFORMED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An answer of the BMC is not strict JSON: syntax, a key twice, depth or encoding.',
    action: 'Look for a proxy in between; if the firmware really answers so, report it.',
  },
  REDFISH_ANSWER_SHAPE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A field that is needed is missing from an answer of the BMC, or is of another type.',
    action: 'Compare the firmware of the BMC with docs/dpu-bmc.md, and report it.',
  },
  REDFISH_PATH: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A link in an answer of the BMC is not a plain path below /redfish/v1.',
    action: 'Treat it as an incident; if the firmware really answers so, report it.',
  },
  REDFISH_NO_ATTESTATION: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The BMC does not offer ComponentIntegrity, so no hardware evidence can be had from it.',
    action: 'Update the BMC to a firmware with SPDM attestation over Redfish (25.04 or newer).',
  },
  REDFISH_TARGET_UNKNOWN: {
    status: 'NotFound',
    retryable: false,
    means: 'The BMC has no component of the name from which evidence is wanted.',
    action: 'Compare the targets of the configuration with `ComponentIntegrity` of the BMC.',
  },
  REDFISH_TARGET_UNUSABLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'The component is switched off, is not of type SPDM, or cannot give signed measurements.',
    action: 'Switch its integrity protocol on in the BMC, or update the firmware.',
  },
  REDFISH_TASK_FAILED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The BMC gave up collecting measurements.',
    action: 'Look at the state in the message and at the event log of the BMC; try again.',
  },
  REDFISH_TASK_UNKNOWN_STATE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The collection of measurements is in a state that Redfish does not know.',
    action: 'Report the state that the message names, with the firmware of the BMC.',
  },
  REDFISH_TASK_GONE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The BMC forgot the collection while it ran, as one that restarts does.',
    action: 'Nothing; it is collected again by itself. Look at the BMC if it lasts.',
  },
  REDFISH_RESULT_OVERWRITTEN: {
    status: 'Unavailable',
    retryable: true,
    means: 'The measurements that the BMC hands out do not hold our nonce: somebody else’s result.',
    action: 'Find out who else collects from this BMC at the same time.',
  },
  REDFISH_EVIDENCE_MALFORMED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The signed measurements are missing, are not strict base64, or are empty.',
    action: 'Compare the firmware of the BMC with docs/dpu-bmc.md, and report it.',
  },
  REDFISH_EVIDENCE_TOO_LARGE: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'The signed measurements are longer than 64 KiB, or the chain than 16 KiB.',
    action: 'Treat it as an incident; if the device really answers so, report it.',
  },
  REDFISH_CHAIN_MALFORMED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The certificate chain of a component is not 1 to 8 certificates in PEM.',
    action: 'Compare the firmware of the BMC with docs/dpu-bmc.md, and report it.',
  },
  REDFISH_CHAIN_SLOT: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The BMC hands out the certificate chain of another slot than the one that signed.',
    action: 'Ask for slot 0, the only one whose chain Redfish exposes.',
  },
  REDFISH_QUEUE_FULL: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'More looks wait for a BMC, or for all, than may, or the turn did not come in time.',
    action: 'Find out who asks so often, or which BMCs hang: bmc_looks_running, bmc_looks_waiting.',
  },
});
