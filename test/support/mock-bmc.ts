import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import type { MockRequest, MockTarget } from '../../src/main/demo/mock-bmc/measurements.ts';
import { MockBmc, type MockBmcOptions } from '../../src/main/demo/mock-bmc/mock-bmc.ts';
import { makeSelfSigned } from '../../src/main/demo/mock-bmc/self-signed.ts';
import { BmcClient, type BmcClientOptions } from '../../src/redfish/bmc-client.ts';
import type { BmcCredentials } from '../../src/redfish/credentials.ts';
import type { BmcPace } from '../../src/redfish/pace.ts';
import { parseTlsPins } from '../../src/redfish/place.ts';
import { makeLeaf, makeRoot } from './x509.ts';

/** The account that mock BMCs know. */
export const MOCK_ACCOUNT: BmcCredentials = {
  userName: 'signet',
  password: 'correct-horse-battery',
  method: 'session',
};

/** Pauses of a moment, and patience for a slow machine. */
export const QUICK_PACE: BmcPace = {
  connectTimeoutMs: 60_000,
  requestTimeoutMs: 60_000,
  collectionMs: 120_000,
  busyWaitMs: 60_000,
  attempts: 3,
  shortestPauseMs: 1,
  longestPauseMs: 5,
};

/** The key of all mock BMCs of a test process, with its pin. */
export const MOCK_TLS = makeSelfSigned('mock-bmc.example');

/**
 * Messages that hold what was asked, and nothing that verifies: a signed GET_MEASUREMENTS of SPDM 1.1
 * without its answer.
 */
export function plainMessages({ nonce, slot, indices }: MockRequest): Uint8Array {
  const index = indices.length === 1 ? (indices[0] ?? 0) : 0;
  return Buffer.concat([Buffer.from([0x11, 0xe0, 0x01, index]), nonce, Buffer.from([slot])]);
}

/** A root of trust whose answers verify to nothing. */
export function plainTarget(chassis: string): MockTarget {
  const root = makeRoot();
  const leaf = makeLeaf(root, 'spiffe://example.org/no-device');
  return {
    chassis,
    chainPem: () => leaf.pem + root.pem,
    measure: (request) => ({ signedMeasurements: plainMessages(request) }),
  };
}

/** A mock BMC that listens, with a client of it. */
export interface MockBmcAndClient {
  readonly mock: MockBmc;
  readonly origin: string;
  readonly client: BmcClient;
  /** Another client of the same BMC, closed with the test. */
  readonly connect: (options?: Partial<BmcClientOptions>) => BmcClient;
}

/** Starts a mock BMC on loopback until the test ends. */
export async function startMockBmc(
  context: Pick<TestContext, 'after'>,
  options: Partial<MockBmcOptions> = {},
  client: Partial<BmcClientOptions> = {},
): Promise<MockBmcAndClient> {
  const mock = new MockBmc({
    tls: MOCK_TLS,
    account: MOCK_ACCOUNT,
    targets: {
      Bluefield_DPU_IRoT: plainTarget('Bluefield_DPU_IRoT'),
      Bluefield_ERoT: plainTarget('Bluefield_ERoT'),
    },
    ...options,
  });
  const origin = await mock.listen();
  const clients: BmcClient[] = [];
  context.after(async () => {
    await Promise.all(clients.map((each) => each.close()));
    await mock.stop();
  });
  const connect = (more: Partial<BmcClientOptions> = {}): BmcClient => {
    const made = new BmcClient({
      place: { origin, trust: unwrap(parseTlsPins(MOCK_TLS.pin)) },
      credentials: MOCK_ACCOUNT,
      clock: systemClock,
      random: seededRandom(1),
      pace: QUICK_PACE,
      ...client,
      ...more,
    });
    clients.push(made);
    return made;
  };
  return { mock, origin, client: connect(), connect };
}
