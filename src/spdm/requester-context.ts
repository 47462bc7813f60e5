import { zeros } from './byte-writer.ts';
import { CONTEXT_BYTES } from './codes.ts';
import { isAtLeast, type SpdmVersion } from './version.ts';

/** The requester's context of 1.3: nothing is kept in it, freshness is the nonce's. */
export function requesterContext(version: SpdmVersion): Uint8Array | undefined {
  return isAtLeast(version, '1.3') ? zeros(CONTEXT_BYTES) : undefined;
}
