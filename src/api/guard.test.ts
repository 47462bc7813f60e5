import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import { openState } from '../../test/support/state.ts';
import { systemRandom } from '../base/random.ts';
import { DEFAULT_MAX_STALENESS_MS } from '../policy/context.ts';
import type { CallContext } from '../rpc/service.ts';
import { createLogger } from '../runtime/log.ts';
import type { ApiContext } from './context.ts';
import { createGuard } from './guard.ts';
import { createCallLimits } from './rate-limits.ts';

const ATTEST = '/spire.api.server.agent.v1.Agent/AttestAgent';
const BUNDLE = '/spire.api.server.bundle.v1.Bundle/GetBundle';

/** A call of somebody unknown. */
function anonymousCall(method: string, remoteAddress: string): CallContext {
  const connection = {
    id: 'c',
    remoteAddress,
    peer: { kind: 'anonymous' } as const,
    memo: new Map(),
    close() {},
    onClose() {},
    holdOpen: () => () => {},
  };
  return {
    connection,
    method,
    metadata: new Metadata(),
    signal: AbortSignal.abort(),
    note() {},
    judged: undefined,
  };
}

/** The codes that calls from these addresses get, where each address may call once. */
async function codes(context: TestContext, method: string, addresses: readonly string[]) {
  const { registry, clock } = await openState(context);
  const once = { perSecond: 1, burst: 1 };
  const limits = createCallLimits(
    { attestation: once, anonymousCalls: once, agentCalls: once, agentSignatures: once },
    clock,
  );
  const policy = {
    registry,
    clock,
    adminIds: [],
    serverUid: 0,
    adminGid: undefined,
    maxStalenessMs: DEFAULT_MAX_STALENESS_MS,
  };
  const log = createLogger({ level: 'silent' });
  // The guard asks nothing of issuance and of the limits on sizes.
  const api = { registry, clock, policy, log, random: systemRandom } as unknown as ApiContext;
  const guard = createGuard(api, limits);
  const verdicts = await Promise.all(
    addresses.map((address) => guard(anonymousCall(method, address))),
  );
  return verdicts.map((verdict) => (verdict.ok ? 'OK' : verdict.error.code));
}

for (const method of [ATTEST, BUNDLE]) {
  test(`D7 one host cannot escape the limit of ${method} by its many IPv6 addresses`, async (context) => {
    const found = await codes(context, method, [
      '2001:db8::1',
      '2001:db8::ffff:2',
      '2001:db8:0:0:1234::1',
      '2001:db8:0:1::1',
      '192.0.2.1',
      '192.0.2.1',
      '192.0.2.2',
    ]);
    const limited = 'RATE_LIMITED';
    assert.deepEqual(found, ['OK', limited, limited, 'OK', 'OK', limited, 'OK']);
  });
}
