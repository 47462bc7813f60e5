import type { SignetError } from '../../base/errors.ts';
import type { Status } from '../../gen/spire/api/types/status.ts';

/**
 * The status of a batch item that succeeded. Always sent: stock agents read it without looking
 * whether it is there.
 */
export const OK_STATUS: Status = Object.freeze({ code: 0, message: 'OK' });

/** The status of a batch item that was refused. */
export function itemStatus(error: SignetError): Status {
  return { code: error.status, message: error.message };
}
