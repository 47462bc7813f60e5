import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ServerClients } from '../../agent/attestation/server-clients.ts';
import { systemClock } from '../../src/base/clock.ts';
import { fail, type Result } from '../../src/base/result.ts';
import { AgentSyncClient } from '../../src/gen/signet/agent/v1/agent.ts';
import { AgentClient } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleClient } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryClient } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDClient } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { openUnixChannel } from '../../src/rpc/channel.ts';
import { createRpcHost } from '../../src/rpc/host.ts';
import { ADMIN_LIMITS } from '../../src/rpc/limits.ts';
import { createRpcMetrics } from '../../src/rpc/rpc-metrics.ts';
import type { Handlers, ServiceShape } from '../../src/rpc/service.ts';
import { listenUnix } from '../../src/rpc/unix-listener.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { assertValue } from './refused.ts';
import { testFolder } from './workload-api.ts';

/**
 * A server that says what a test wants: answers that the real one never gives. Services that are
 * not added are Unimplemented, as the push service is on a stock SPIRE server.
 */
export interface ScriptedServer {
  /** Serves the methods given; the others of the service fail. */
  serve<S extends ServiceShape>(service: S, handlers: Partial<Handlers<S>>): void;
  /** Clients on a channel of their own. */
  clients(): ServerClients;
}

/** Opens a scripted server on a Unix socket; it ends with the test. */
export async function startScriptedServer(context: TestContext): Promise<ScriptedServer> {
  const host = createRpcHost({
    name: 'scripted',
    log: createLogger({ level: 'silent' }),
    metrics: createRpcMetrics(createMetrics('scripted')),
    clock: systemClock,
    limits: ADMIN_LIMITS,
    guards: [],
  });
  const path = join(testFolder(context), 'api.sock');
  const listener = assertValue(await listenUnix({ path, mode: 0o600, folderMode: 0o700 }, host));
  context.after(async () => {
    await listener.close();
    await host.shutdown(100);
  });
  return {
    serve(service, handlers) {
      const all = Object.keys(service).map((name) => [name, unscripted]);
      // Every method of the service has a handler now: those given, and a refusal for the rest.
      host.addService(service, { ...Object.fromEntries(all), ...handlers } as Handlers<
        typeof service
      >);
    },
    clients() {
      const channel = openUnixChannel(path);
      context.after(() => channel.close());
      return {
        agent: channel.client(AgentClient),
        bundle: channel.client(BundleClient),
        entry: channel.client(EntryClient),
        svid: channel.client(SVIDClient),
        sync: channel.client(AgentSyncClient),
        close: () => channel.close(),
      };
    },
  };
}

function unscripted(): Result<never> {
  return fail('INTERNAL', 'not part of the test');
}
