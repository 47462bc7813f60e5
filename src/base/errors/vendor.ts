import { defineErrors } from './define.ts';

/** Refusals about what connectors of vendors need: the enrolment root, and vendors' keys. */
export const vendorErrors = defineErrors({
  ENROLMENT_ROOT_OFF: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'This server keeps no root for the enrolment CAs of vendors.',
    action:
      'Write connectors.enrolmentRoot into server.yaml (docs/zpa.md) and restart the server; {} takes the defaults.',
  },
  ENROLMENT_ROOT_KEY: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The key of the enrolment root is not where it has to be.',
    action:
      'Use a keys.manager that keeps keys, and bring back the key that the message names; where it is lost, replace the root (docs/zpa.md), for vendors know only that one.',
  },
  ENROLMENT_ROOT_ENDED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The enrolment root has expired, or nearly so.',
    action:
      'Check the clock of the server; replace the root (docs/zpa.md) with `signet connector vendor-ca prepare-root`.',
  },
  ENROLMENT_ROOT_NEXT: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The enrolment root that is to sign from now on is none that was prepared.',
    action:
      'Compare the serial with `signet connector vendor-ca roots`; without a next root there, begin with `signet connector vendor-ca prepare-root`.',
  },
  ENROLMENT_RECORD_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: 'What is kept of the enrolment root or of a CA below it cannot be read.',
    action: 'Restore the database from a backup; a newer program may have written it.',
  },
  ENROLMENT_CSR: {
    status: 'InvalidArgument',
    retryable: false,
    means: "The request is none for a vendor's enrolment CA.",
    action:
      "Give the CSR as the vendor's portal made it; the message says which part of it cannot be signed.",
  },
  VENDOR_KEY_NONE: {
    status: 'NotFound',
    retryable: true,
    means: 'The connector group has no provisioning key of a vendor.',
    action: 'Give it with `signet connector vendor-key set --group NAME`.',
  },
  VENDOR_KEY_DENIED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The connector is not enrolled in the way that its group now demands, or it leaves.',
    action:
      'Compare `signet connector group show` with `signet connector show`; have the connector enrol anew.',
  },
  VENDOR_KEY_EXHAUSTED: {
    status: 'ResourceExhausted',
    retryable: false,
    means: 'The provisioning key of the vendor has had all its uses.',
    action:
      "Raise its limit in the vendor's portal, or make a new one there, and give it with `signet connector vendor-key set`.",
  },
  VENDOR_KEY_SEALED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The provisioning key of the vendor is kept encrypted, and what opens it is gone.',
    action:
      'Bring back the key that the message names, or give the vendor key again with `signet connector vendor-key set`; backups do not hold vendor-keys.key.',
  },
});
