import type { SignetError } from '../base/errors.ts';

/** Findings end with 1; usage, and whatever kept the plugin from looking, with 2. */
export function exitCodeOf({ code }: SignetError): number {
  return code === 'TRUST_FINDINGS' ? 1 : 2;
}
