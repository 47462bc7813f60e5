import { defineErrors } from './define.ts';

/** Refusals of the authority section. */
export const authorityErrors = defineErrors({});
