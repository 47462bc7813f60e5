import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  anonymousLimitSettings,
  anonymousLimitsOf,
  listenerLimitSettings,
  listenerLimitsOf,
  refuseUselessMemory,
} from './limit-settings.ts';
import { ANONYMOUS_LIMITS, SERVER_LIMITS, WORKLOAD_LIMITS } from './limits.ts';

test('settings that say nothing are the limits of their listener', () => {
  for (const limits of [SERVER_LIMITS, WORKLOAD_LIMITS]) {
    const { maxStreamsPerConnection, maxConnections, maxConnectionsPerPeer, ...own } = limits;
    const { anonymous: _, ...rest } = own;
    assert.deepEqual(
      listenerLimitsOf(z.strictObject(listenerLimitSettings(limits)).parse({})),
      rest,
    );
  }
  const anonymous = anonymousLimitSettings(ANONYMOUS_LIMITS).parse(undefined);
  assert.deepEqual(anonymousLimitsOf(anonymous), ANONYMOUS_LIMITS);
});

const listener = z
  .strictObject(listenerLimitSettings(SERVER_LIMITS))
  .superRefine(refuseUselessMemory);

for (const key of ['requestMemory', 'requestMemoryPerCaller'] as const) {
  for (const [size, fits] of [
    ['65535B', false],
    ['65536B', false],
    ['65537B', true],
  ] as const) {
    test(`${key} of ${size} beside a messageSize of 64KiB: ${fits ? 'fits' : 'refused'}`, () => {
      const parsed = listener.safeParse({ messageSize: '64KiB', [key]: size });
      assert.equal(parsed.success, fits);
      if (!parsed.success) assert.deepEqual(parsed.error.issues[0]?.path, [key]);
    });
  }
}

test('each limit is taken from its own setting', () => {
  const settings = {
    messageSize: '1KiB',
    openRequests: 2,
    openRequestsPerCaller: 3,
    requestMemory: '4KiB',
    requestMemoryPerCaller: '5KiB',
    requestTimeout: '6s',
    sessionMemory: '7MiB',
    resetBurst: 8,
    resetsPerSecond: 9,
    handshakeTimeout: '10s',
    stalledReader: '11s',
  };
  assert.deepEqual(listenerLimitsOf(listener.parse(settings)), {
    maxReceiveBytes: 1024,
    maxOpenRequests: 2,
    maxOpenRequestsPerPeer: 3,
    maxRequestBytes: 4096,
    maxRequestBytesPerPeer: 5120,
    requestTimeoutMs: 6000,
    maxSessionMegabytes: 7,
    resetBurst: 8,
    resetPerSecond: 9,
    handshakeTimeoutMs: 10_000,
    stalledWriteMs: 11_000,
  });
});
