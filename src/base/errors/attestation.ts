import { defineErrors } from './define.ts';

/** Refusals of the attestation section. */
export const attestationErrors = defineErrors({});
