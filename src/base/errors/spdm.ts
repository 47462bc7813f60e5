import { defineErrors, type ErrorRow } from './define.ts';

const malformed = (means: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action:
    'Look at the firmware of the device, and at the BMC or agent that collected: what it sent is not SPDM 1.1 to 1.3.',
});

const unproven = (means: string, action: string): ErrorRow => ({
  status: 'Unauthenticated',
  retryable: false,
  means,
  action,
});

const unfit = (means: string, action: string): ErrorRow => ({
  status: 'FailedPrecondition',
  retryable: false,
  means,
  action,
});

const again = (means: string, action: string): ErrorRow => ({
  status: 'Unavailable',
  retryable: true,
  means,
  action,
});

/** Refusals of SPDM messages, transcripts and responders (DMTF DSP0274). */
export const spdmErrors = defineErrors({
  SPDM_TRUNCATED: malformed('An SPDM message ends inside one of its fields.'),
  SPDM_TRAILING_BYTES: malformed('Bytes follow where an SPDM message or transcript should end.'),
  SPDM_TOO_LARGE: malformed('An SPDM message, record, chain or transcript is over its limit.'),
  SPDM_MESSAGE_UNEXPECTED: malformed('An SPDM message is another than its place demands.'),
  SPDM_FIELD: malformed('A field of an SPDM message has a value that it may not have.'),
  SPDM_MEASUREMENT_RECORD: malformed(
    'A measurement record contradicts itself: sizes, number of blocks, an index twice.',
  ),
  SPDM_CERTIFICATE_CHAIN: malformed(
    'The certificate chain of an SPDM slot is not a length, the hash of its root and certificates.',
  ),
  SPDM_FRAME: malformed('What came over the transport is not a frame of it.'),

  SPDM_VERSION: unfit(
    'The SPDM version is 1.0, unknown, not allowed, or none that both sides speak.',
    'Update the firmware of the device, or allow the version if it is 1.1, 1.2 or 1.3.',
  ),
  SPDM_ALGORITHM: unfit(
    'A signature or hash algorithm is not allowed, or does not fit the key of the leaf certificate.',
    'Allow the algorithm for the device class if the vendor documents it; ECDSA P-384 with SHA-384 is usual.',
  ),
  SPDM_CAPABILITY: unfit(
    'The device cannot do what is asked: certificates, signed measurements or a challenge.',
    'Look at the capabilities in the device documentation; evidence needs certificates and signed measurements.',
  ),
  SPDM_VERSION_MIXED: unproven(
    'Messages of one SPDM exchange have different versions, as when somebody tries to lower it.',
    'Collect again; if it stays, look for what stands between the collector and the device.',
  ),
  SPDM_TRANSCRIPT: unproven(
    'An SPDM transcript lacks messages, has them out of order, or is not signed at its end.',
    'Collect again with all measurements in one request, or by ascending index with the last one signed.',
  ),
  SPDM_NONCE: unproven(
    'Evidence was made for another nonce: it is old, or somebody else’s.',
    'Collect again; if it stays, find who else collects from the device, or replays.',
  ),
  SPDM_SLOT: unproven(
    'Evidence comes from another certificate slot than the one that was asked.',
    'Collect from the slot that the device class names; it is slot 0 unless configured.',
  ),
  SPDM_SIGNATURE: unproven(
    'The signature over an SPDM transcript does not verify under the key of the leaf certificate.',
    'Check that chain and evidence come from one device and one boot, and that nothing was changed.',
  ),
  SPDM_CHAIN_DIGEST: unproven(
    'The digests of a slot, of its certificate chain and of the challenge are not the same.',
    'Collect again: the chain may have changed in between; if it stays, treat the device as tampered with.',
  ),

  SPDM_MEASUREMENTS_CHANGED: again(
    'The device says that a measurement changed while the measurements were read.',
    'Nothing, it is tried again; if it stays, see which firmware is being updated.',
  ),
  SPDM_BUSY: again(
    'The device kept answering that it is busy or not ready.',
    'Nothing, it is tried again; if it stays, see who else collects from the device.',
  ),
  SPDM_RESYNCH: again(
    'The device lost the exchange and wants to begin anew.',
    'Nothing, it is tried again; if it stays, see whether the device restarts.',
  ),
  SPDM_UNREACHABLE: again(
    'There is no connection to the device, or no answer on it in time.',
    'Check address and port of the device, and that nothing else holds its only connection.',
  ),
  SPDM_RESPONDER_ERROR: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The device answered an SPDM request with an error.',
    action: 'Look up the error code that the message names in DSP0274, and the log of the device.',
  },
});
