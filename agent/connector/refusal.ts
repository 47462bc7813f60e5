import { ERRORS, type ErrorCode, type SignetError } from '../../src/base/errors.ts';

/** What to make of an error. */
export interface Refusal {
  readonly code: string;
  /** What to do next. */
  readonly action: string;
}

/** The server's own code of a refusal, where it sent one, and what this version knows to do about it. */
export function refusalOf({ code: own, action, details }: SignetError): Refusal {
  const code = typeof details.serverCode === 'string' ? details.serverCode : own;
  return { code, action: Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].action : action };
}
