import { defineErrors, type ErrorRow } from './define.ts';

const chain = (means: string, action: string): ErrorRow => ({
  status: 'Unauthenticated',
  retryable: false,
  means,
  action,
});

const MALFORMED =
  'Keep the chain and ask the vendor of the device; until then the device cannot be attested.';

/** Refusals of the certificate chains of devices. */
export const diceErrors = defineErrors({
  DEVICE_CHAIN_EMPTY: chain(
    'A device presented no certificate.',
    'Check that the slot is provisioned and that the BMC answers with the chain.',
  ),
  DEVICE_CHAIN_TOO_LARGE: chain(
    'A device chain has more than 8 certificates or more than 16 KiB.',
    MALFORMED,
  ),
  DEVICE_CHAIN_DUPLICATE: chain('A device chain has a certificate twice.', MALFORMED),
  DEVICE_CHAIN_UNUSED: chain(
    'A device chain has certificates that do not belong to its path.',
    MALFORMED,
  ),
  DEVICE_CHAIN_LEAF: chain(
    'A device chain does not have exactly one certificate that is no CA.',
    MALFORMED,
  ),
  DEVICE_ROOT: chain(
    'A device chain does not lead to a root that is pinned for its class.',
    "Compare the fingerprint of the chain's root with the vendor's; pin it only when they agree.",
  ),
  DEVICE_CLASS: chain(
    'A device is genuine perhaps, but not of the class that it is offered as.',
    "Look at what was attested: a GPU or switch in a DPU's place? If it is a DPU of a new product, pin the CA that issued it.",
  ),
  DEVICE_KEY_TYPE: chain(
    'A key in a device chain is of a kind that its class does not allow.',
    'Allow the kind in the class only if the vendor says that its devices have such keys.',
  ),
  DEVICE_KEY_USAGE: chain(
    'A certificate of a device chain lacks the key usage that its place needs.',
    MALFORMED,
  ),
  DEVICE_INFO: chain(
    'The device information in a certificate is malformed, or two certificates differ in it.',
    MALFORMED,
  ),
  DEVICE_FWID_MALFORMED: chain(
    'A firmware id of a device has a form that is not known.',
    MALFORMED,
  ),
  DEVICE_FWID_MISSING: chain(
    'A device chain has no layer with a firmware id, and its class demands one.',
    'Set the class to ignore firmware ids only if the vendor says that its devices have none.',
  ),
  DEVICE_FWID_OPAQUE: chain(
    'The firmware id in the signed opaque data is not that of the certificate, or is missing.',
    'Take the device out of service: its key signs for other firmware. If all of the class have none, do not demand one (opaqueFwid).',
  ),
  DEVICE_FWID_PLACE: chain('A certificate above the device has a firmware id.', MALFORMED),
  DEVICE_FWID_KEY: chain(
    'A firmware id names another key than that of the certificate above it.',
    'Take the device out of service: its chain is put together from parts of two devices or boots.',
  ),
  DEVICE_FLAGS: chain(
    'A layer of a device says that it is not configured, not secure, in recovery or in debug mode.',
    'Take the device out of service until its vendor says how to leave that mode.',
  ),
  DEVICE_REVOKED: chain(
    'The vendor revoked a device or one of its CAs.',
    'Retire the device, and ask the vendor why if it names no reason; with a CA, all of its devices.',
  ),
  DEVICE_REVOCATION_UNKNOWN: chain(
    'No CRL that is in force and signed by its CA says whether a device was revoked.',
    "Import the vendor's current CRL for the CA that the message names.",
  ),
  DEVICE_CRL_INDIRECT: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'An imported CRL is an indirect one.',
    action: 'Import the CRL of each CA, from the address in the certificates that it issues.',
  },
  DEVICE_CRL_OLDER: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Of a CA whose CRL is in force the files hold an older one by now, or none.',
    action:
      'Put the newest CRL back; where a CA is no longer used, restart the server without its CRL.',
  },
});
