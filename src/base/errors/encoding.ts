import { defineErrors } from './define.ts';

/** Refusals of the encoding section. */
export const encodingErrors = defineErrors({});
