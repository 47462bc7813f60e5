import { defineErrors } from './define.ts';

/** Refusals of the cli section. */
export const cliErrors = defineErrors({});
