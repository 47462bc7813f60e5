import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { DeviceChain } from '../dice/device-chain.ts';
import type { DeviceClass } from '../dice/device-class.ts';
import { readOpaqueFields } from '../spdm/opaque-fields.ts';

/** Type of the field that holds the firmware id, in genuine evidence of the vendor's GPUs. */
export const OPAQUE_FWID_FIELD = 20;

/**
 * Holds the firmware id in the signed opaque data of measurements against those of the leaf's
 * certificate (dpu-attestation §1.2): who signs the one with the key of the other, yet runs something
 * else, is not what its certificate was made for. By default an id that is there must agree, and a class
 * may demand that there is one; what has another form holds none. Fails with DEVICE_FWID_OPAQUE.
 */
export function checkOpaqueFirmwareId(
  { name, fwid, opaqueFwid = 'if-present' }: DeviceClass,
  { layers }: Pick<DeviceChain, 'layers'>,
  opaque: Uint8Array,
): Result<void> {
  if (opaqueFwid === 'ignored') return ok(undefined);
  const fields = readOpaqueFields(opaque);
  const stated = fields.ok ? fields.value.get(OPAQUE_FWID_FIELD) : undefined;
  if (stated === undefined) {
    return opaqueFwid === 'required'
      ? fail('DEVICE_FWID_OPAQUE', `class "${name}": no firmware id in the opaque data`)
      : ok(undefined);
  }
  // Where the class looks at no firmware ids there is none to compare with.
  if (fwid === 'ignored' && opaqueFwid === 'if-present') return ok(undefined);
  const certified = layers.at(-1)?.fwids ?? [];
  if (certified.some(({ digest }) => equalBytes(digest, stated))) return ok(undefined);
  const what = 'the opaque data has another firmware id than the certificate';
  return fail('DEVICE_FWID_OPAQUE', `class "${name}": ${what}`);
}
