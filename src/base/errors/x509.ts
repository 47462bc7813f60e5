import { defineErrors } from './define.ts';

/** Refusals of the x509 section. */
export const x509Errors = defineErrors({});
