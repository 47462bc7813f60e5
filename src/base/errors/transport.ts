import { defineErrors } from './define.ts';

/** Refusals of the transport section. */
export const transportErrors = defineErrors({});
