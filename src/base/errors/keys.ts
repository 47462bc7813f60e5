import { defineErrors } from './define.ts';

/** Refusals of the keys section. */
export const keysErrors = defineErrors({});
