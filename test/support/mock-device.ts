import { unwrap } from '../../src/base/result.ts';
import type { MockTarget } from '../../src/main/demo/mock-bmc/measurements.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { collectMeasurements } from '../../src/spdm/requester.ts';
import type { SpdmVersion } from '../../src/spdm/version.ts';
import { pemChain } from './dice.ts';
import { eagerClock, type SpdmDevice } from './spdm-device.ts';

/**
 * A root of trust behind a mock BMC that is a device of the tests: the BMC asks it by SPDM, as real ones
 * do, in version 1.1 unless told, and hands out what was signed.
 */
export function deviceTarget(
  chassis: string,
  device: () => SpdmDevice,
  version: SpdmVersion = '1.1',
): MockTarget {
  return {
    chassis,
    chainPem: () => pemChain(device().boot.certificates),
    measure: async ({ nonce, slot }) => {
      const policy = { ...DEFAULT_SPDM_POLICY, versions: [version], slot };
      const asked = { nonce, policy, clock: eagerClock() };
      const { messages } = unwrap(await collectMeasurements(device().exchange, asked));
      // As the real one labels it: the hash of the measured values, not of the signature.
      return { signedMeasurements: messages, hashingAlgorithm: 'TPM_ALG_SHA_512' };
    },
  };
}
