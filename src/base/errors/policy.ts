import { defineErrors } from './define.ts';

/** Refusals of the policy section. */
export const policyErrors = defineErrors({});
