import { defineErrors } from './define.ts';

/** Refusals of the store section. */
export const storeErrors = defineErrors({});
