import type { Result } from '../base/result.ts';
import { refuse } from '../der/refuse.ts';
import { readSpdm } from './byte-reader.ts';
import { MAX_OPAQUE_BYTES } from './codes.ts';

const WHAT = 'opaque data';

/**
 * Fields of opaque data in the form of NVIDIA's devices: type (u16), length (u16) and value, one after
 * another to the end. Genuine evidence of its GPUs and switches is written so; DSP0274 leaves the form to
 * the vendor. Errors: SPDM_TRUNCATED, SPDM_FIELD for a type twice, SPDM_TOO_LARGE.
 */
export function readOpaqueFields(opaque: Uint8Array): Result<ReadonlyMap<number, Uint8Array>> {
  return readSpdm(WHAT, opaque, MAX_OPAQUE_BYTES, (reader) => {
    const fields = new Map<number, Uint8Array>();
    while (reader.left > 0) {
      const type = reader.u16(WHAT);
      if (fields.has(type)) refuse('SPDM_FIELD', `${WHAT}: field ${type} is there twice`);
      fields.set(type, reader.take(reader.u16(WHAT), WHAT));
    }
    return fields;
  });
}
