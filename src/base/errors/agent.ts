import { defineErrors } from './define.ts';

/** Refusals of the agent section. */
export const agentErrors = defineErrors({});
