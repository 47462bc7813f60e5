import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { ok, unwrap } from '../../src/base/result.ts';
import type { JWTSVIDResponse, SpiffeWorkloadAPIService } from '../../src/gen/workload.ts';
import { createRpcHost, type RpcHost } from '../../src/rpc/host.ts';
import { type RpcLimits, WORKLOAD_LIMITS } from '../../src/rpc/limits.ts';
import { createRpcMetrics } from '../../src/rpc/rpc-metrics.ts';
import type { CallContext, CallGuard, Handlers } from '../../src/rpc/service.ts';
import {
  type Listener,
  listenUnix,
  type UnixListenerOptions,
} from '../../src/rpc/unix-listener.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics, type Metrics } from '../../src/runtime/metrics.ts';

/** A folder that the test's end removes. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'signet-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a test's host is made with. */
export interface TestHostOptions {
  readonly guards?: readonly CallGuard[];
  readonly limits?: Partial<RpcLimits>;
  readonly clock?: Clock;
  readonly metrics?: Metrics;
}

/** A silent host with the Workload API's limits. */
export function testHost(options: TestHostOptions = {}): RpcHost {
  return createRpcHost({
    name: 'test',
    log: createLogger({ level: 'silent' }),
    metrics: createRpcMetrics(options.metrics ?? createMetrics('test')),
    clock: options.clock ?? systemClock,
    limits: { ...WORKLOAD_LIMITS, ...options.limits },
    guards: options.guards ?? [],
  });
}

/** Serves a host on a fresh Unix socket until the test ends. */
export async function serveUnix(
  context: TestContext,
  host: RpcHost,
  options: Partial<UnixListenerOptions> = {},
): Promise<Listener> {
  const path = join(temporaryFolder(context), 'api.sock');
  const listener = unwrap(
    await listenUnix({ path, mode: 0o600, folderMode: 0o700, ...options }, host),
  );
  context.after(async () => {
    await listener.close();
    await host.shutdown(0);
  });
  return listener;
}

/** Resolves when the call is no longer wanted. */
export function untilAborted(context: CallContext): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (context.signal.aborted) resolve();
  context.signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}

type Workload = Handlers<typeof SpiffeWorkloadAPIService>;

/** A Workload API that answers each call with something plain; parts may be replaced. */
export function workloadHandlers(replaced: Partial<Workload> = {}): Workload {
  const stream = async (_: unknown, __: unknown, context: CallContext) => {
    await untilAborted(context);
    return ok(undefined);
  };
  return {
    fetchX509Svid: async (_, answers, context) => {
      answers.write({ svids: [], crl: [], federatedBundles: {} });
      return stream(_, answers, context);
    },
    fetchX509Bundles: stream,
    fetchJwtsvid: ({ audience }): { ok: true; value: JWTSVIDResponse } =>
      ok({ svids: [{ spiffeId: '', svid: audience.join(), hint: '' }] }),
    fetchJwtBundles: stream,
    validateJwtsvid: () => ok({ spiffeId: '', claims: undefined }),
    fetchWitsvid: stream,
    fetchWitBundles: stream,
    ...replaced,
  } as Workload;
}

/** A raw client of a Unix socket that keeps what it reads. */
export interface RawClient {
  readonly socket: Socket;
  /** Everything read so far. */
  readonly received: () => Buffer;
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>;
  /** Resolves when what was read satisfies `enough`, or the connection has closed. */
  until(enough: (bytes: Buffer) => boolean): Promise<Buffer>;
}

/** Connects a raw client; the test's end destroys it. */
export function rawClient(context: TestContext, socket: Socket): RawClient {
  const chunks: Buffer[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const check of [...waiting]) check();
  };
  let open = true;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    wake();
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      open = false;
      wake();
      resolve();
    });
  });
  context.after(() => socket.destroy());
  const received = (): Buffer => Buffer.concat(chunks);
  return {
    socket,
    received,
    closed,
    until: (enough) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (open && !enough(received())) return;
          waiting.delete(check);
          resolve(received());
        };
        waiting.add(check);
        check();
      }),
  };
}

/** A raw client of a Unix socket. */
export function rawUnix(context: TestContext, path: string): RawClient {
  return rawClient(context, connect({ path, allowHalfOpen: false }));
}
