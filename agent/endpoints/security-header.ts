import { fail, ok } from '../../src/base/result.ts';
import type { CallGuard } from '../../src/rpc/service.ts';

const HEADER = 'workload.spiffe.io';

/**
 * Demands the metadata `workload.spiffe.io: true`, exactly so and once (Workload Endpoint §3): what a
 * forged request from a browser or a proxy cannot carry. Judged before anything else is done for the
 * caller (WEP-3, WEP-4). The message is one that clients match.
 */
export const requireSecurityHeader: CallGuard = ({ metadata }) => {
  const values = metadata.get(HEADER);
  if (values.length === 1 && values[0] === 'true') return ok(undefined);
  return fail('WORKLOAD_HEADER_MISSING', 'security header missing from request');
};
