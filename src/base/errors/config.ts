import { defineErrors } from './define.ts';

/** Refusals of the config section. */
export const configErrors = defineErrors({});
