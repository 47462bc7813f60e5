import assert from 'node:assert/strict';
import { tracingChannel } from 'node:diagnostics_channel';
import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startVoucherEndpoint } from '../../agent/voucher/endpoint.ts';
import { fail, unwrap } from '../../src/base/result.ts';
import { startBundleEndpoint } from '../../src/federation/bundle-endpoint.ts';
import { createHealth } from '../../src/runtime/health.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { startTelemetry } from '../../src/runtime/telemetry.ts';
import { listenOidc } from '../../src/server/oidc/listener.ts';
import { tlsIdentity } from '../support/tls.ts';
import { makeLeaf, makeRoot } from '../support/x509.ts';

interface Listener {
  readonly port?: number | undefined;
  close(): Promise<void>;
}

const PLACE = { address: '127.0.0.1', port: 0 };
const identity = tlsIdentity(makeLeaf(makeRoot(), 'spiffe://example.org/spire/server'));

/** Those that speak HTTP, each with what opens it. */
const LISTENERS: readonly [name: string, open: () => Promise<Listener>][] = [
  [
    'OIDC discovery',
    async () =>
      unwrap(
        await listenOidc({
          ...PLACE,
          socketPath: undefined,
          identity: undefined,
          answer: (_request, response) => response.end(),
        }),
      ),
  ],
  [
    'bundle endpoint',
    async () => unwrap(await startBundleEndpoint({ ...PLACE, identity, bundle: () => undefined })),
  ],
  [
    'telemetry',
    async () => {
      const log = createLogger({ level: 'silent' });
      const parts = { metrics: createMetrics('signet_test'), health: createHealth(), log };
      return unwrap(await startTelemetry(PLACE, parts));
    },
  ],
  [
    'voucher endpoint',
    async () => {
      const office = async () => fail('INTERNAL', 'nobody asks');
      const listen = { ...PLACE, anyAddress: true };
      return unwrap(await startVoucherEndpoint({ listen, office, onOutcome: () => {} }));
    },
  ],
];

/** The server of Node.js behind a listener, which the listener shows to nobody. */
async function openSeen(context: TestContext, open: () => Promise<Listener>) {
  const seen: Server[] = [];
  const channel = tracingChannel<{ server: Server }>('net.server.listen').asyncStart;
  const see = (message: unknown): void => {
    // What Node.js publishes on this channel.
    seen.push((message as { server: Server }).server);
  };
  channel.subscribe(see);
  context.after(() => channel.unsubscribe(see));
  const listener = await open();
  context.after(() => listener.close());
  assert.equal(seen.length, 1);
  return { server: seen[0]!, port: listener.port! };
}

for (const [name, open] of LISTENERS) {
  test(`${name}: connections that cannot be accepted, as without free file descriptors, end nothing`, async (context) => {
    const { server, port } = await openSeen(context, open);
    for (let i = 0; i < 3; i++) server.emit('error', new Error('accept EMFILE'));
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    const request = name === 'bundle endpoint' ? tlsRequest : plainRequest;
    const options = { host: '127.0.0.1', port, rejectUnauthorized: false };
    request(options, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end();
    assert.equal(typeof (await promise), 'number');
  });
}
