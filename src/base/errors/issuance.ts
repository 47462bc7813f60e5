import { defineErrors } from './define.ts';

/** Refusals of the issuance section. */
export const issuanceErrors = defineErrors({});
