import { defineErrors } from './define.ts';

/** Refusals of the api section. */
export const apiErrors = defineErrors({});
