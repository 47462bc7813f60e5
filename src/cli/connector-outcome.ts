import { ERRORS, type ErrorCode, SignetError } from '../base/errors.ts';
import type { ConnectorOutcome } from '../gen/signet/connector/v1/admin.ts';

/** The refusal of one connector in an answer; undefined where it was done. */
export function outcomeError({
  errorCode,
  error,
}: Pick<ConnectorOutcome, 'errorCode' | 'error'>): SignetError | undefined {
  if (errorCode === '') return undefined;
  // Own keys only, since the name comes from the other side; a key of the table is a code.
  const known = Object.hasOwn(ERRORS, errorCode) ? (errorCode as ErrorCode) : undefined;
  return new SignetError(
    known ?? 'CLI_REFUSED',
    error,
    known === undefined ? { status: 'Unknown' } : {},
  );
}
