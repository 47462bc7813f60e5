import { defineErrors, type ErrorRow } from './define.ts';

const file = (means: string, action: string): ErrorRow => ({
  status: 'InvalidArgument',
  retryable: false,
  means,
  action,
});

const state = (means: string, action: string): ErrorRow => ({
  status: 'PermissionDenied',
  retryable: false,
  means,
  action,
});

const AGAIN = 'Have the publisher correct the manifest and sign it again.';

/** Refusals of reference manifests, and of measurements that are held against them. */
export const manifestErrors = defineErrors({
  MANIFEST_ENVELOPE: file(
    'A signed reference manifest is not in a DSSE envelope of the expected type.',
    'Check that the file is the signed manifest and not its payload.',
  ),
  MANIFEST_UNSIGNED: file(
    'A reference manifest is not signed by enough pinned keys.',
    'Get it from its publisher again; pin another key only after comparing it on another way.',
  ),
  MANIFEST_MALFORMED: file('A reference manifest breaks a rule of its schema.', AGAIN),
  MANIFEST_CORIM: file(
    'A reference manifest names a CoRIM that was not imported, or values that it does not have.',
    'Import the CoRIM with the SHA-256 that the message names, or have the manifest corrected.',
  ),
  CORIM_MALFORMED: file(
    'A CoRIM is not what draft-ietf-rats-corim-06 says, or its CBOR is not in strict form.',
    'Get the file from its publisher again; other drafts and other containers are not read.',
  ),
  CORIM_UNSUPPORTED: file(
    'A CoRIM is signed in a way that is not known: ES256, ES384 and ES512 are.',
    'Ask the publisher for one that is signed so, or name its unsigned form in a signed manifest.',
  ),
  CORIM_UNSIGNED: file(
    'A CoRIM is not signed by a pinned key.',
    'Get it from its publisher again; pin another key only after comparing it on another way.',
  ),
  CORIM_EXPIRED: file(
    'A CoRIM, or the signature of one, is not valid at this time.',
    'Import a current one from its publisher.',
  ),
  MANIFEST_OLDER: file(
    'A reference manifest is older than one that was in force before, or another one under the same sequence.',
    'Put the newest revision in its place: an old one could bring back releases that were withdrawn. To go back on purpose, have it signed with a higher sequence.',
  ),
  MANIFEST_EXPIRED: state(
    'The reference manifest has expired.',
    'Get a current revision from its publisher and put it in the place of this one.',
  ),
  MANIFEST_TARGET: state(
    'The reference manifest says nothing about the target or its class of device.',
    "Import a manifest for the device's product, or correct the class in the manifest.",
  ),
  MEASUREMENT_FORMAT: state(
    'A device numbers its measurements by a table that the manifest was not made for.',
    'Import a manifest for the firmware of the device; until then its measurements mean nothing.',
  ),
  MEASUREMENT_MISSING: state(
    'A device did not answer a measurement that every allowed release lists, or that its baseline is to hold.',
    'Compare the firmware of the device with the manifest; update one of them.',
  ),
  MEASUREMENT_MODE: state(
    'A device says that it is not in normal operation, or that it is or was debugged.',
    'Isolate the device until its vendor says how to leave that mode; a release may list the block where all of a product state it so.',
  ),
  MEASUREMENT_MISMATCH: state(
    'What a device measured is no allowed release.',
    'Isolate the device; if its firmware is wanted, import a manifest that lists it, else flash it again.',
  ),
  MEASUREMENT_FWID: state(
    'The measurements match a release, but a run-time layer has another firmware id.',
    'Isolate the device; if its firmware is wanted, import a manifest that lists its firmware ids.',
  ),
  MEASUREMENT_NO_BASELINE: state(
    'A device has no baseline: it was never commissioned.',
    'Commission it with signet dpu commission while it is in a state that you trust.',
  ),
  MEASUREMENT_BASELINE: state(
    "One of the device's own measurements, such as its security configuration, has changed.",
    'Find out who changed the device; if it was you, open a window with signet dpu baseline.',
  ),
  ROLLBACK_RELEASE: state(
    'A device runs an older release than at its last attestation.',
    'Update it; if you went back on purpose, allow the older release for this device.',
  ),
  ROLLBACK_MINIMUM: state(
    'A device runs a release below the minimum of the manifest.',
    'Update the firmware of the device.',
  ),
  ROLLBACK_COUNTER: state(
    'A rollback counter of a device has a value that it had left behind, or is gone.',
    'Isolate the device: such counters do not go back, so its part may have been exchanged.',
  ),
  ROLLBACK_SVN: state(
    'A security version number of a device fell or is gone.',
    'Isolate the device, update its firmware and commission it again.',
  ),
});
