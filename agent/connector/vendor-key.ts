import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  GetVendorKeyRequest,
  GetVendorKeyResponse,
} from '../../src/gen/signet/connector/v1/vendor.ts';
import { callServer } from '../attestation/server-call.ts';
import type { ConnectorChannel } from './dial.ts';

/** Longest wait for an answer, in milliseconds. */
const CALL_MS = 30_000;

/**
 * Asks for the vendor's provisioning key of the connector's group, over a channel under its SVID, which is
 * closed then. Each connector that asks is counted as one use.
 */
export async function askVendorKey(channel: Result<ConnectorChannel>): Promise<Result<string>> {
  if (!channel.ok) return channel;
  const { vendorKeys, close } = channel.value;
  try {
    const answer = await callServer<GetVendorKeyRequest, GetVendorKeyResponse>(
      (...call) => vendorKeys.getVendorKey(...call),
      {},
      CALL_MS,
    );
    if (!answer.ok) return answer;
    if (answer.value.key !== '') return ok(answer.value.key);
    return fail('COMPANION_SERVER_ANSWER', 'the vendor key of the server is empty');
  } finally {
    close();
  }
}
