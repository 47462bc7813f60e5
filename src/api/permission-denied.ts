import type { SignetError } from '../base/errors.ts';
import {
  PermissionDeniedDetails,
  permissionDeniedDetails_ReasonFromJSON,
} from '../gen/spire/api/types/status.ts';
import { withStatusDetails } from '../rpc/status.ts';

const TYPE_URL = 'type.googleapis.com/spire.api.types.PermissionDeniedDetails';

const REASONS = new Set([
  'AGENT_EXPIRED',
  'AGENT_NOT_ATTESTED',
  'AGENT_NOT_ACTIVE',
  'AGENT_BANNED',
  'AGENT_MUST_REATTEST',
]);

/**
 * Adds the reason that agents act on (attest again, or stop) to a PermissionDenied; without it a
 * stock agent tries for ever. Other refusals pass unchanged.
 */
export function withDeniedReason(error: SignetError): SignetError {
  if (error.statusName !== 'PermissionDenied') return error;
  const stated = error.details.reason;
  const name = typeof stated === 'string' && REASONS.has(stated) ? stated : 'UNKNOWN';
  const reason = permissionDeniedDetails_ReasonFromJSON(name);
  return withStatusDetails(error, TYPE_URL, PermissionDeniedDetails.encode({ reason }).finish());
}
